import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import sparsity_curve

    return sparsity_curve


def run_in(folder):
    # Its neighbour `datasets` is found in the folder of the script, where Python may look there.
    environment = {name: v for name, v in os.environ.items() if name != "PYTHONSAFEPATH"}
    command = [sys.executable, EXAMPLES / "sparsity_curve.py", "--penalties", "MCP"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quick_mode(tmp_path):
    """It trains, prints and draws; a second time it only prints and draws."""
    run_in(tmp_path)
    output = tmp_path / "demo/digits"
    lines = (output / "sparsity_curve.jsonl").read_text()
    dense, *sparse = [json.loads(line) for line in lines.splitlines()]
    assert [(run["penalty"], run["factor"]) for run in sparse] == [("MCP", 4e-3), ("MCP", 1.2e-2)]
    assert dense["test"] > 0.95
    for run in sparse:
        assert run["weights"] < dense["weights"] / 2
        assert run["test"] > 0.85
    assert (output / "sparsity_curve.png").read_bytes().startswith(b"\x89PNG")

    assert "1 of 3" not in run_in(tmp_path)
    assert (output / "sparsity_curve.jsonl").read_text() == lines


def run(example, **values):
    first = example.Run("L1", 1e-4, 0, weights=100, pruned=0, validation=0.9, test=0.8, recipe="")
    return dataclasses.replace(first, **values)


def test_points_are_means_over_the_seeds(example):
    runs = [
        run(example, factor=1e-4, seed=0, weights=100, validation=0.9, test=0.8),
        run(example, factor=1e-3, seed=0, weights=10),
        run(example, factor=1e-4, seed=1, weights=200, validation=0.7, test=0.9),
        run(example, penalty="L0"),
    ]
    curves = example.curves(runs)
    assert {name: len(curve) for name, curve in curves.items()} == {"L1": 2, "L0": 1}
    point = curves["L1"][0]
    assert (point.factor, point.weights, point.lowest, point.highest) == (1e-4, 150, 0.8, 0.9)
    assert (point.validation, point.test) == pytest.approx((0.8, 0.85))


def test_validation_alone_chooses(example):
    """Of the networks that are small enough, the best in validation, the test set set aside."""
    runs = [
        run(example, factor=1.0, weights=1000, validation=0.9),
        run(example, factor=2.0, weights=100, validation=0.7, test=0.99),
        run(example, factor=3.0, weights=50, validation=0.8, test=0.1),
    ]
    curve = example.curves(runs)["L1"]
    assert example.choose(curve, 1000).factor == 1
    assert example.choose(curve, 100).factor == 3
    assert example.choose(curve, 10) is None


def test_another_recipe_is_trained_again(example, tmp_path):
    recipe = example.RECIPES["digits"]
    path = tmp_path / "runs.jsonl"
    assert example.read(path, recipe) == []
    done = run(example, recipe=repr(recipe))
    path.write_text(json.dumps(dataclasses.asdict(done)) + "\n")
    assert example.read(path, recipe) == [done]
    assert example.read(path, dataclasses.replace(recipe, epochs=1)) == []


def test_every_image_is_trained_on_or_held_out(example, monkeypatch):
    """And the test set is for the last measurement."""
    seen = []

    def fit(model, x, y, **arguments):
        seen.append(x[:, 0])

    def evaluate(model, x, y, **arguments):
        seen.append(x[:, 0])
        return {"accuracy": 0.0}

    monkeypatch.setattr(keras.Model, "fit", fit)
    monkeypatch.setattr(keras.Model, "evaluate", evaluate)
    numbers = np.arange(15.0).reshape(15, 1)
    data = types.SimpleNamespace(
        x_train=numbers[:10], y_train=np.zeros(10), x_test=numbers[10:], y_test=np.zeros(5)
    )
    recipe = dataclasses.replace(example.RECIPES["digits"], validation=3)
    held_out = []
    for seed in range(2):
        example.train(example.DENSE, 0.0, seed, recipe, data)
        training, validation, test = seen[-3:]
        assert len(validation) == 3
        assert sorted([*training, *validation]) == list(range(10))
        assert list(test) == list(range(10, 15))
        held_out.append(set(validation))
    assert held_out[0] != held_out[1]
