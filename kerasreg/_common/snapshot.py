"""Copies of the values of variables, to set them again."""

import contextlib
from collections.abc import Iterable, Iterator

import keras
import numpy as np
from keras import ops


class Snapshot:
    """The values that variables have when it is made.

    Args:
        variables: Keras variables.
    """

    def __init__(self, variables: Iterable[keras.Variable]):
        self.variables = list(variables)
        # A copy: on the CPU, the array of a variable may be its own memory.
        self.values = [np.array(ops.convert_to_numpy(variable)) for variable in self.variables]

    def restore(self) -> None:
        """Set the variables to these values."""
        for variable, value in zip(self.variables, self.values, strict=True):
            variable.assign(value)


@contextlib.contextmanager
def unchanged(variables: Iterable[keras.Variable]) -> Iterator[Snapshot]:
    """Inside, variables may change; on leaving, they have their values of before."""
    before = Snapshot(variables)
    try:
        yield before
    finally:
        before.restore()


@contextlib.contextmanager
def unchanged_by_errors(variables: Iterable[keras.Variable]) -> Iterator[Snapshot]:
    """As `unchanged`, but only if an exception leaves the context."""
    before = Snapshot(variables)
    try:
        yield before
    except BaseException:
        before.restore()
        raise
