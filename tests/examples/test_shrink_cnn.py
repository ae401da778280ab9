"""The residual CNN of the examples, on the digits."""

import json
import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_whole_way(tmp_path):
    command = [sys.executable, "shrink_cnn.py", "--output", tmp_path]
    # Its neighbour `datasets` is found in the folder of the script, where Python may look there.
    environment = {name: v for name, v in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        command, cwd=EXAMPLES, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "shrink_cnn.json").read_text())
    dense, small = numbers["accuracy"]
    assert small > dense - 0.05
    assert small == numbers["accuracy_pruned"]
    assert numbers["difference"] < 1e-6
    assert numbers["flops"][0] > 3.5 * numbers["flops"][1]
    assert (tmp_path / "shrink_cnn.png").read_bytes().startswith(b"\x89PNG")
