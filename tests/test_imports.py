"""What kerasreg imports, and what documents say can be imported."""

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
    """`{file: syntax tree}`."""
    return {file: ast.parse(file.read_text()) for file in sorted((ROOT / folder).rglob("*.py"))}


def imports(nodes):
    """The modules, with all names that are taken from them, that these nodes import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names)


def runs_on_import(node):
    """The nodes below one, but for those inside of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from runs_on_import(child)


def test_nothing_private_of_keras_is_imported():
    """A module that Keras moves may break what needs it, not the import of everything."""
    for file, tree in parsed("kerasreg").items():
        private = [name for name in imports(ast.walk(tree)) if name.startswith("keras.src")]
        assert not private, file
        dynamic = re.findall(r"(?:import_module|__import__)\(.*keras", file.read_text())
        assert not dynamic, file


def test_no_backend_is_imported_with_kerasreg():
    """Who has JAX alone, or torch alone, has a kerasreg that works."""
    for file, tree in parsed("kerasreg").items():
        found = {name.split(".")[0] for name in imports(runs_on_import(tree))}
        assert not found & BACKENDS, file
    if importlib.util.find_spec("tensorflow") is None:
        assert "tensorflow" not in sys.modules


def test_all_that_is_imported_is_declared():
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
    """The dotted names of kerasreg in a text, without statements that import modules."""
    text = re.sub(r"(?:from|import) kerasreg\S*", "", text)
    return set(re.findall(r"(?<![\w./-])kerasreg(?:\.[A-Za-z_]\w*)+", text))


def texts():
    """`(where, text)` of all that people read: pages, docstrings, messages, comments, code."""
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        yield page.relative_to(ROOT), page.read_text()
    for folder in ("kerasreg", "examples", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            yield file.relative_to(ROOT), file.read_text()


def test_every_dotted_name_that_is_mentioned_can_be_reached():
    """After `import kerasreg`, and as it is written."""
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
def test_names_are_found(text, names):
    assert mentioned(text) == names
