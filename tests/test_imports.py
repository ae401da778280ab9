"""The imports of kerasreg, and the names that texts mention."""

import ast
import functools
import importlib.util
import pathlib
import re
import sys
import tomllib

import pytest

import kerasreg

ROOT = pathlib.Path(__file__).parents[1]
BACKENDS = {"tensorflow", "jax", "torch"}


@functools.cache
def parsed(folder):
    """Returns `{file: syntax tree}`."""
    return {file: ast.parse(file.read_text()) for file in sorted((ROOT / folder).rglob("*.py"))}


def imports(nodes):
    """Yields the names of modules, and of members of modules, that `nodes` import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names)


def runs_on_import(node):
    """Yields the nodes below `node`, except those inside functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from runs_on_import(child)


def test_no_private_module_of_keras_is_imported():
    """A module that Keras moves must not break the import of kerasreg."""
    for file, tree in parsed("kerasreg").items():
        private = [name for name in imports(ast.walk(tree)) if name.startswith("keras.src")]
        assert not private, file
        dynamic = re.findall(r"(?:import_module|__import__)\(.*keras", file.read_text())
        assert not dynamic, file


def test_no_backend_is_imported_with_kerasreg():
    """kerasreg works if only one of the backends is installed."""
    for file, tree in parsed("kerasreg").items():
        found = {name.split(".")[0] for name in imports(runs_on_import(tree))}
        assert not found & BACKENDS, file
    if importlib.util.find_spec("tensorflow") is None:
        assert "tensorflow" not in sys.modules


def test_every_imported_package_is_declared_as_a_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.match(r"\w+", each)[0] for each in project["dependencies"]}
    optional = {re.match(r"\w+", project["optional-dependencies"][each][0])[0] for each in BACKENDS}
    assert optional == BACKENDS
    assert not declared & BACKENDS
    found = set()
    for tree in parsed("kerasreg").values():
        found |= {name.split(".")[0] for name in imports(ast.walk(tree))}
    assert found - set(sys.stdlib_module_names) - {"kerasreg"} == declared | BACKENDS


def mentioned(text):
    """Returns the dotted names of kerasreg in a text, except those in import statements."""
    text = re.sub(r"(?:from|import) kerasreg\S*", "", text)
    return set(re.findall(r"(?<![\w./-])kerasreg(?:\.[A-Za-z_]\w*)+", text))


def texts():
    """Yields `(file, text)` of the pages and of all source files."""
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        yield page.relative_to(ROOT), page.read_text()
    for folder in ("kerasreg", "examples", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            yield file.relative_to(ROOT), file.read_text()


def test_every_dotted_name_in_a_text_exists_after_import_kerasreg():
    missing = []
    for where, text in texts():
        for name in sorted(mentioned(text)):
            try:
                functools.reduce(getattr, name.split(".")[1:], kerasreg)
            except AttributeError:
                missing.append(f"{where}: {name}")
    assert not missing


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("`kerasreg._pruning.plan.Plan`", {"kerasreg._pruning.plan.Plan"}),
        ("from kerasreg._saving.save import save", set()),
        ("kerasreg.prune(model).units", {"kerasreg.prune"}),
        ("a file kerasreg/.venv or my.kerasreg.x", set()),
    ],
)
def test_mentioned_finds_dotted_names(text, names):
    assert mentioned(text) == names
