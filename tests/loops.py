"""Many cases in one item: faster than an item each, and a failure still names its case."""

import functools
import inspect
import itertools

import keras
import pytest


def loop(**values):
    """Like `pytest.mark.parametrize`, in one item: the test runs with every combination."""

    def decorate(test):
        def looped(**fixtures):
            for combination in itertools.product(*values.values()):
                arguments = dict(zip(values, combination, strict=True))
                try:
                    afresh()
                    test(**arguments, **fixtures)
                except Exception as error:
                    error.add_note(", ".join(f"{name}={arguments[name]}" for name in arguments))
                    raise

        return _like(test, looped, remove=values)

    return decorate


def by_class(cases):
    """A decorator for tests of `case`: one item per class, which loops over the rows of it."""
    classes = {}
    for case in cases:
        classes.setdefault(case.name, []).append(case)

    def decorate(test):
        def looped(rows, **fixtures):
            loop(case=rows)(test)(**fixtures)

        looped = _like(test, looped, remove=["case"], add=["rows"])
        return pytest.mark.parametrize("rows", classes.values(), ids=classes)(looped)

    return decorate


def afresh():
    """Layer names without numbers, and always the same random state."""
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)


def _like(test, looped, remove, add=()):
    """`looped` with the name of `test`, its marks, and what it asks pytest for."""
    functools.update_wrapper(looped, test, updated=())
    del looped.__wrapped__
    looped.pytestmark = list(getattr(test, "pytestmark", []))
    names = [name for name in inspect.signature(test).parameters if name not in remove]
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, kind) for name in [*add, *names]]
    looped.__signature__ = inspect.Signature(parameters)
    return looped
