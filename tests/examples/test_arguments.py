"""What the examples say about their arguments is true."""

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ["first_light", "shrink_cnn", "sparsity_curve"]


@pytest.fixture
def main(monkeypatch):
    """Runs the `main` of an example with these arguments."""
    monkeypatch.syspath_prepend(ROOT / "examples")

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        importlib.import_module(name).main()

    return run


@pytest.mark.parametrize("name", SCRIPTS)
def test_missing_data_names_a_flag_that_the_script_has(name, main, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="has no train-images") as stopped:
        main(name, "--data", "fashion_mnist", "--folder", tmp_path)
    advised = set(re.findall(r"--[a-z-]+", str(stopped.value)))
    assert advised == {"--folder"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_folder_needs_its_data(name, main, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(name, "--folder", tmp_path)
    assert "--folder needs --data fashion_mnist" in capsys.readouterr().err


def test_every_flag_that_is_documented_exists():
    """Of every `python folder/script.py --flag` in pages, docstrings and the Makefile."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "Makefile"]
    pages += [*ROOT.glob("examples/*.py"), *ROOT.glob("benchmarks/*.py")]
    text = "\n".join(page.read_text() for page in pages)
    commands = re.findall(r"((?:examples|benchmarks)/\w+\.py)((?: -\S+| \w+)+)", text)
    assert len(commands) > 5
    shared = (ROOT / "examples/datasets.py").read_text()
    for script, arguments in commands:
        source = (ROOT / script).read_text() + shared
        for flag in re.findall(r"--[a-z-]+", arguments):
            assert f'add_argument("{flag}"' in source, f"{script} {flag}"
