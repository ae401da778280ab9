"""What a pattern is: it says which weights go together."""

from collections.abc import Mapping
from typing import Any

import keras

from kerasreg._pruning.targets import find_targets
from kerasreg._pruning.units import Units


class Pattern:
    """Which weights are pruned together: the base class of all patterns.

    Example:

    >>> class WideUnits(kerasreg.patterns.Pattern):
    ...     def bind(self, variable, roles):
    ...         if variable.shape[-1] < 4:
    ...             raise ValueError("it is narrow")
    ...         return kerasreg.patterns.Group("output").bind(variable, roles)
    >>> layers = [keras.Input((8,)), keras.layers.Dense(6), keras.layers.Dense(2)]
    >>> model = keras.Sequential(layers)
    >>> next(iter(kerasreg.prune(model, 0.5, pattern=WideUnits()))).units
    6
    """

    def bind(self, variable: keras.Variable, roles: Mapping[str, Any]) -> Units:
        """The `Units` of a variable.

        Args:
            variable: a Keras variable.
            roles: `{"output": Groups, "input": Groups, ...}`, what is known of its axes.

        Raises:
            ValueError: with the reason, where this pattern does not fit.
        """
        raise NotImplementedError

    def find(
        self, model: keras.Model, include: str | None, exclude: str | None, caller: str
    ) -> tuple[list, dict[str, str]]:
        """`(targets, {path: why it is not pruned})`: `bind` on every variable of a model."""
        return find_targets(model, self, include, exclude, caller)

    #: Whether a unit has weights of several variables.
    is_joint = False

    #: What to know when reading the `Plan`, or None.
    note: str | None = None

    @property
    def final(self) -> float | None:
        """The only sparsity that this pattern has, or None."""
        return None

    @property
    def no_regrowth(self) -> str | None:
        """Why `regrow` cannot be combined with it, or None."""
        return None
