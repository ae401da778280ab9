"""Copies of the values of variables, to restore them later."""

import contextlib
from collections.abc import Iterable, Iterator

import keras
import numpy as np
from keras import ops


class Snapshot:
    """A copy of the current values of variables.

    Args:
        variables: Keras variables.
    """

    def __init__(self, variables: Iterable[keras.Variable]):
        self.variables = list(variables)
        # A copy is needed: on the CPU, the array may share memory with the variable.
        self.values = [np.array(ops.convert_to_numpy(variable)) for variable in self.variables]

    def restore(self) -> None:
        """Sets the variables to these values."""
        for variable, value in zip(self.variables, self.values, strict=True):
            variable.assign(value)


@contextlib.contextmanager
def unchanged(variables: Iterable[keras.Variable]) -> Iterator[Snapshot]:
    """A context at whose end the variables get their previous values back."""
    before = Snapshot(variables)
    try:
        yield before
    finally:
        before.restore()


@contextlib.contextmanager
def unchanged_by_errors(variables: Iterable[keras.Variable]) -> Iterator[Snapshot]:
    """A context that gives the variables their previous values back after an exception."""
    before = Snapshot(variables)
    try:
        yield before
    except BaseException:
        before.restore()
        raise
