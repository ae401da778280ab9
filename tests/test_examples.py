"""The example that no other command runs: fewer weights at nearly the same accuracy, on digits."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import pytest

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="an example for TensorFlow")
def test_the_sparsity_curve_of_digits(tmp_path):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "Agg"}
    # The test run hides the folder of a script, in which its helpers are.
    environment.pop("PYTHONSAFEPATH", None)
    process = subprocess.run(
        [sys.executable, EXAMPLES / "sparsity_curve.py", "--penalties", "L1"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert "Dense" in process.stdout
    folder = tmp_path / "demo" / "digits"
    assert (folder / "sparsity_curve.png").stat().st_size > 10_000
    dense, *sparse = [
        json.loads(line) for line in (folder / "sparsity_curve.jsonl").read_text().splitlines()
    ]
    assert len(sparse) == 2
    assert all(run["weights"] < dense["weights"] / 1.5 for run in sparse)
    assert sparse[0]["test"] > dense["test"] - 0.05
