"""The base class of patterns."""

from collections.abc import Mapping
from typing import Any

import keras

from kerasreg._pruning.targets import find_targets
from kerasreg._pruning.units import Units


class Pattern:
    """The base class of all patterns, which define which weights are pruned together.

    Subclasses define `bind(variable, roles)`.

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
        """Returns the `Units` of a variable.

        Args:
            variable: a Keras variable.
            roles: `{"output": Groups, "input": Groups, ...}`, the known roles of its axes.

        Raises:
            ValueError: if this pattern does not fit the variable, with the reason. The variable is
                then skipped, and the plan shows the reason.
        """
        raise NotImplementedError

    def find(
        self, model: keras.Model, include: str | None, exclude: str | None, caller: str
    ) -> tuple[list, dict[str, str]]:
        """Binds every variable of a model.

        Returns:
            `(targets, {path: reason why it is not pruned})`.
        """
        return find_targets(model, self, include, exclude, caller)

    #: Whether a unit has weights of several variables.
    is_joint = False

    #: A remark on the `Plan` for its readers, or None.
    note: str | None = None

    @property
    def final(self) -> float | None:
        """The only sparsity that this pattern can have, or None."""
        return None

    @property
    def no_regrowth(self) -> str | None:
        """The reason why `regrow` cannot be used with this pattern, or None."""
        return None
