"""Saved files in new processes: with kerasreg, and with stock Keras alone."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import pytest
from architectures import MODELS, describe
from attached import build
from keras import layers

import kerasreg
from kerasreg.regularizers import L1, L2, GroupLasso

TESTS = Path(__file__).parent.parent
COMPILED = ["attention", "custom", "nested", "sequential", "subclassed"]
#: These models load with `import keras, kerasreg` alone, without classes of the tests.
PLAIN = ["functional", "sequential", "pretrained", "attention", "recurrent", "convolutional"]
PLAIN += ["arguments"]
OWN = sorted(MODELS.keys() - set(PLAIN))


def in_a_new_process(folder, code):
    """Runs `code` in a new process and returns its variable `result`."""
    code = (
        textwrap.dedent(code) + "\nimport json; open('result.json', 'w').write(json.dumps(result))"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        check=True,
        timeout=240,
    )
    return json.loads((folder / "result.json").read_text())


def approximately(description):
    numbers = {key: pytest.approx(description[key], rel=1e-4) for key in ("penalty", "output")}
    slots = description["slots"] and pytest.approx(description["slots"], rel=1e-4, abs=1e-6)
    return {**description, **numbers, "slots": slots}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Returns `(folder, {name: expected})`: models saved with penalties and after `detach`."""
    folder = tmp_path_factory.mktemp("saved")
    attached, detached = {}, {}
    for name in MODELS:
        model, rules = build(name, compiled=name in COMPILED)
        kerasreg.attach(model, rules)
        model.save(folder / f"{name}.keras")
        attached[name] = describe(model)
        kerasreg.detach(model)
        model.save(folder / f"{name}-detached.keras")
        detached[name] = describe(model)
    model = with_layer_arguments()
    model.save(folder / "arguments.keras")
    attached["arguments"] = describe(model)
    return folder, attached, detached


def with_layer_arguments():
    inputs = keras.Input((4,))
    x = inputs
    for regularizer in (L1(0.1), L2(0.2), GroupLasso(0.3, axis=(0, 1))):
        x = layers.Dense(3, kernel_regularizer=regularizer)(x)
    return keras.Model(inputs, x)


LOAD = """
import keras, kerasreg
models = {}

def load(names):
    for name in names:
        model = models[name] = keras.models.load_model(name + ENDING)
        model.save(name + "-again.keras")
        if model.compiled:
            uncompiled = keras.models.load_model(name + ENDING, compile=False)
            assert not uncompiled.compiled
            assert len(uncompiled.losses) == len(model.losses)

load(PLAIN)
import architectures
load(OWN)
result = {name: architectures.describe(model) for name, model in models.items()}
"""


@pytest.fixture(scope="module")
def loaded(saved):
    """Returns what a new process loads, and what another one loads after saving it again."""
    folder = saved[0]

    return [
        in_a_new_process(folder, f"PLAIN, OWN, ENDING = {PLAIN}, {OWN}, {ending!r}\n{LOAD}")
        for ending in (".keras", "-again.keras")
    ]


@pytest.mark.parametrize("name", [*MODELS, "arguments"])
def test_attached_models_open_in_a_new_process(name, saved, loaded):
    once, twice = loaded
    expected = approximately(saved[1][name])
    assert once[name] == expected
    assert twice[name] == expected


@pytest.fixture(scope="module")
def opened_by_stock_keras(saved):
    return in_a_new_process(
        saved[0],
        f"""
        import sys, keras, architectures
        names = {list(MODELS)}
        load = keras.models.load_model
        result = {{name: architectures.describe(load(name + "-detached.keras")) for name in names}}
        assert not any("kerasreg" in name for name in sys.modules)
        """,
    )


@pytest.mark.parametrize("name", MODELS)
def test_detached_models_open_in_stock_keras(name, saved, opened_by_stock_keras):
    assert opened_by_stock_keras[name] == approximately(saved[2][name])
