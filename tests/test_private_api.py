"""Uses of private API of Keras or a backend are counted in `private_api.txt`."""

import ast
import pathlib
import re
import warnings

import kerasreg

PACKAGE = pathlib.Path(kerasreg.__file__).parent
LIST = pathlib.Path(__file__).parent / "private_api.txt"
BACKENDS = ("jax", "jaxlib", "tensorflow", "torch")
PRIVATE = re.compile(r"_(?!kerasreg)[a-z]\w*")


def modules(node):
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [node.module]
    return []


def uses(source):
    """Returns the uses of private API: imports of backends and `keras.src`, private attributes.

    Attributes that the file defines, and attributes of `self`, `cls` and `sys`, do not count.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = list(ast.walk(ast.parse(source)))
    own, found = set(), []
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own |= {node.attr} if getattr(node.value, "id", None) == "self" else set()
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            own.add(node.target.id)
    for node in nodes:
        found += [
            name
            for name in modules(node)
            if name.split(".")[0] in BACKENDS or name.startswith("keras.src")
        ]
        if isinstance(node, ast.Attribute):
            is_self = getattr(node.value, "id", None) in ("self", "cls", "sys")
            if not is_self and PRIVATE.fullmatch(node.attr) and node.attr not in own:
                found.append(node.attr)
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and PRIVATE.fullmatch(node.value)
            and node.value not in own
        ):
            found.append(node.value)
    return found


def listed():
    """Returns `{file: number of uses}`. Every line must have a reason."""
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    rows = [line.split(maxsplit=2) for line in lines]
    assert all(len(row) == 3 for row in rows)
    return {file: int(count) for file, count, _ in rows}


def test_the_list_of_private_api_is_complete():
    """A new use needs a reason in the list. After removing a use, lower the number."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        if names := uses(path.read_text(encoding="utf-8")):
            found[path.relative_to(PACKAGE).as_posix()] = names
    counts, known = {file: len(names) for file, names in found.items()}, listed()
    wrong = [
        f"{file}: {counts.get(file, 0)} uses, the list says {known.get(file, 0)} {found.get(file)}"
        for file in sorted({*counts, *known})
        if counts.get(file) != known.get(file)
    ]
    assert not wrong, "\n".join(wrong)


def test_uses_finds_imports_and_private_attributes():
    source = """
import torch
from keras.src import backend
import keras
class A:
    def f(self, layer, sys):
        self._mine = getattr(layer, "_kernel")
        return layer._mine, layer._bias, layer.__dict__, self._tracker, sys._getframe()
"""
    assert sorted(uses(source)) == ["_bias", "_kernel", "keras.src", "torch"]
