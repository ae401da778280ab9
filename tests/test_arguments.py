"""The table of arguments in `CONTRIBUTING.md` has the public arguments of kerasreg and no other."""

import inspect
import pathlib
import re

import kerasreg

CONTRIBUTING = pathlib.Path(__file__).parents[1] / "CONTRIBUTING.md"


def public():
    """Yields `(name, function or class)` of the API; users do not call those of `results`."""
    for name in kerasreg.__all__:
        found = getattr(kerasreg, name)
        if not inspect.ismodule(found):
            yield name, found
        elif name != "results":
            yield from ((f"{name}.{each}", getattr(found, each)) for each in found.__all__)


def arguments():
    """Returns `{argument: names of the functions, constructors and methods that have it}`."""
    found = {}
    for name, each in public():
        methods = vars(each).items() if inspect.isclass(each) else ()
        called = [(name, each)] + [
            (f"{name}.{method}", function)
            for method, function in methods
            if inspect.isfunction(function) and not method.startswith(("_", "on_"))
        ]
        for where, function in called:
            for argument in inspect.signature(function).parameters.values():
                is_named = argument.kind not in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD)
                if argument.name != "self" and is_named:
                    found.setdefault(argument.name, set()).add(where)
    return found


def table():
    text = CONTRIBUTING.read_text("utf-8").split("## Arguments")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


def test_every_public_argument_is_in_the_table_once():
    found, rows = arguments(), table()
    assert len(rows) == len(set(rows))
    assert set(rows) == set(found), {name: found.get(name) for name in set(rows) ^ set(found)}
