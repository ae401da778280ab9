"""The examples in the documentation run."""

import doctest
import importlib
import pathlib
import pkgutil
import re

import keras
import numpy as np
import pytest

import kerasreg

MODULES = [module.name for module in pkgutil.walk_packages(kerasreg.__path__, "kerasreg.")]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"keras": keras, "kerasreg": kerasreg, "np": np, "tmp_path": tmp_path}
    results = doctest.testmod(importlib.import_module(name), extraglobs=namespace)
    assert results.failed == 0


@pytest.mark.parametrize("name", kerasreg.__all__)
def test_every_public_function_has_an_example(name):
    member = getattr(kerasreg, name)
    members = (
        [getattr(member, each) for each in member.__all__]
        if hasattr(member, "__all__")
        else [member]
    )
    for each in members:
        if each is not kerasreg.regularizers.Regularizer:
            assert ">>>" in each.__doc__, each


ROOT = pathlib.Path(__file__).parents[1]


def python_blocks(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), flags=re.DOTALL)


def test_readme(tmp_path, monkeypatch, capsys):
    """Its code runs from top to bottom, with data, and with a model that has all that it names."""
    monkeypatch.chdir(tmp_path)
    first, *others = python_blocks("README.md")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 784)).astype("float32"), rng.integers(0, 10, 64)
    exec(first, {"x": x, "y": y})
    assert "sparsity" in capsys.readouterr().out

    inputs = keras.Input((8, 8, 4))
    outputs = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    outputs = keras.layers.Reshape((36, 4))(outputs)
    outputs = keras.layers.MultiHeadAttention(2, 2)(outputs, outputs)
    outputs = keras.layers.Dense(2, name="dense_1")(outputs)
    namespace = {"keras": keras, "kerasreg": kerasreg, "model": keras.Model(inputs, outputs)}
    assert len(others) == 4
    for block in others:
        exec(block, namespace)
    assert kerasreg.statistics(namespace["model"]).total.zeros > 0


@pytest.mark.parametrize(
    "page",
    [
        *("docs/penalties.md", "docs/pruning.md", "docs/training.md", "docs/saving.md"),
        *("docs/coupled.md", "docs/shrinking.md"),
    ],
)
@pytest.mark.filterwarnings("ignore:PenaltySchedule ended")  # Its ramp is longer than the fit.
def test_pages(page, capsys, tmp_path, monkeypatch):
    """Their code runs from top to bottom on a small model."""
    monkeypatch.chdir(tmp_path)
    layer = keras.layers.Dense(1, kernel_regularizer=kerasreg.regularizers.L1(0.1))
    model = keras.Sequential([keras.Input((10,)), layer])
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 10)).astype("float32"), rng.normal(size=(64, 1))
    namespace = {"keras": keras, "kerasreg": kerasreg, "np": np}
    namespace |= {"model": model, "x": x, "y": y}
    for block in python_blocks(page):
        exec(block, namespace)
    if "Huberized" in namespace:
        penalty = namespace["Huberized"](0.5)
        weights = np.array([0.5, 3.0, -1.1], "float32")
        assert float(penalty(weights)) == pytest.approx(0.5 * 2.1)
        prox = keras.ops.convert_to_numpy(penalty.prox(weights, 1.0))
        np.testing.assert_allclose(prox, [0.5, 2.5, -1.0])


#: The sections of the page that prune, and the sparsity of the kernels in front of the last layer.
MIGRATION = {
    "A whole model": 0.8,
    "Schedules, argument by argument": 0.6,
    "Some layers": 0.5,
    "Custom layers": 0.5,
    "A loop of your own": 0.5,
    "Pretrained weights": 0.5,
    "Checkpoint and resume": 0.9,
    "2:4": 0.4,  # Of 10 inputs the last two count as four.
    "Blocks": 0.5,
    "`PruningSummaries`": 0.5,
}


def test_migrating_from_tfmot(tmp_path, monkeypatch):
    """Its code runs from top to bottom and prunes as far as it says."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 10)).astype("float32"), rng.normal(size=(64, 1))
    namespace, found = {"x": x, "y": y}, {}
    page = (ROOT / "docs/migrating_from_tfmot.md").read_text()
    for section in page.split("\n## "):
        title = section.splitlines()[0]
        for block in re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL):
            exec(block, namespace)
        if title in MIGRATION:
            found[title] = np.mean(namespace["model"].get_weights()[0] == 0)
    assert found == pytest.approx(MIGRATION)

    lines = []
    kerasreg.callbacks.Pruning(0.8).plan(namespace["build"](), steps=1000, print_fn=lines.append)
    assert f"```text\n{lines[0].strip()}\n```" in page


def test_every_penalty_and_constraint_is_on_its_page():
    page = (ROOT / "docs/penalties.md").read_text()
    for name in {*kerasreg.regularizers.__all__, *kerasreg.constraints.__all__}:
        assert f"`{name}`" in page or name in ("Regularizer", "Projection"), name
