"""Many cases in one test item: faster than one item per case; failures name their case."""

import functools
import inspect
import itertools

import keras
import pytest


def loop(**values):
    """Like `pytest.mark.parametrize`, but all combinations run in one item."""

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
    """Decorates a test of `case`: one item per class, which loops over the cases of the class."""
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
    """Resets the numbers of layer names and the random state."""
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)


def _like(test, looped, remove, add=()):
    """Gives `looped` the name and marks of `test`, and its other fixtures."""
    functools.update_wrapper(looped, test, updated=())
    del looped.__wrapped__
    looped.pytestmark = list(getattr(test, "pytestmark", []))
    names = [name for name in inspect.signature(test).parameters if name not in remove]
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, kind) for name in [*add, *names]]
    looped.__signature__ = inspect.Signature(parameters)
    return looped
