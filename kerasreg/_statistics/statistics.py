"""One pass over the weights: how sparse, how large, how dead, how broken."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
from keras import ops

from kerasreg._graph.notes import notes_on
from kerasreg._graph.roles import model_roles
from kerasreg._graph.units import joint_units
from kerasreg._graph.variables import require_built, require_matches, unique_path
from kerasreg._statistics.reductions import is_finite, measure
from kerasreg._train_step import plain
from kerasreg.regularizers.elementwise import L1, L1L2, L2
from kerasreg.regularizers.keras_own import with_prox


@dataclass(frozen=True)
class Statistics:
    """The numbers of one variable, or of several together.

    Attributes:
        path: the path of the variable, or the name of the model.
        shape: its shape; `()` for a total.
        size: number of weights.
        zeros: number of weights that are exactly 0.
        nonfinite: number of weights that are NaN or infinite.
        l1: `sum |w|`. Like `l2` and `max`, NaN or infinite where a weight is.
        l2: `sqrt(sum w^2)`.
        max: `max |w|`.
        penalty: value of the variable's regularizer; 0.0 without one.
        units: number of units or filters that it gives out; None where the layer is unknown, or
            another variable of it counts them.
        dead_units: how many of them give out the same for every input; None like `units`.
        inputs: number of input features or channels; None where the layer has none.
        dead_inputs: how many of them have only zero weights; None where the layer has none.
        regularized: whether a regularizer is on it.
    """

    path: str
    shape: tuple[int, ...]
    size: int
    zeros: int
    nonfinite: int
    l1: float
    l2: float
    max: float
    penalty: float
    units: int | None
    dead_units: int | None
    inputs: int | None
    dead_inputs: int | None
    regularized: bool
    #: `{role: bool array}`, True for units, inputs and heads without a weight.
    _dead: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def left(self, role: str = "output", names: Sequence[str] | None = None) -> list:
        """Which units, inputs or heads are left: those that are not dead.

        Args:
            role: `"output"`: the units; `"input"`: the inputs that are read; `"head"`: the heads of
                an attention that have a weight in this variable.
            names: of all of them, in their order. Default: they are called by their indices.

        Returns:
            A list of indices, or of names.

        Raises:
            ValueError: where this variable has none of these, or for another number of names.

        Example:

        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[2.0], [0.0], [1.0]])])
        >>> kernel, = kerasreg.statistics(model)
        >>> kernel.left("input"), kernel.left("input", names=["age", "sex", "bmi"])
        ([0, 2], ['age', 'bmi'])
        """
        if role not in self._dead:
            raise ValueError(
                f"`role` must be one of those of '{self.path}': {sorted(self._dead)}. "
                f"Received: role={role!r}"
            )
        dead = self._dead[role]
        if names is not None and len(names) != len(dead):
            raise ValueError(
                f"`names` must have one name for each of the {len(dead)} of '{self.path}' that are "
                f"role={role!r}. Received: {len(names)} names"
            )
        found = np.flatnonzero(~dead).tolist()
        return found if names is None else [names[index] for index in found]

    @property
    def sparsity(self) -> float:
        """The share of the weights that are exactly 0, from 0.0 to 1.0."""
        return self.zeros / self.size if self.size else 0.0


@dataclass(frozen=True)
class ModelStatistics:
    """What `statistics` returns: `variables` by path, and their `total`.

    `notes` say what the zeros do not show, of adapters (LoRA) and packed kernels.
    """

    variables: dict[str, Statistics]
    total: Statistics
    notes: tuple[str, ...] = ()

    def __getitem__(self, path: str) -> Statistics:
        return self.variables[path]

    def __iter__(self):
        return iter(self.variables.values())


def statistics(model: keras.Model, include: str | None = None) -> ModelStatistics:
    """Count and measure every weight variable of a model.

    Counts are exact. Sums are made in float64 on a CPU and in float32 on a GPU or TPU, where the
    reduction runs on the device.

    Args:
        model: a built Keras model.
        include: regular expression; only variables with a path in which it is found are measured.

    Returns:
        A `ModelStatistics`. A unit (neuron, filter, feature of a head) is dead if its layer gives
        out the same there for every input, as `kerasreg.shrink` sees it: its column of the kernel
        is zero; in a recurrent layer, all that moves its state. Units that several variables
        compute together count once, at the first of these. What a layer of an unknown kind has as
        units is None, not a guess.

    Raises:
        ValueError: for an unbuilt model, or an `include` that matches no variable.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    >>> model.set_weights([np.array([[3.0, 0.0], [-4.0, 0.0]])])
    >>> total = kerasreg.statistics(model).total
    >>> total.zeros, total.sparsity, total.l2, total.dead_units
    (2, 0.5, 5.0, 1)
    """
    require_built(model, "kerasreg.statistics")
    require_matches(include, "include", [variable.path for variable in model.weights])
    roles = model_roles(model)
    joint = joint_units(model, roles)
    variables: dict[str, Statistics] = {}
    for variable in model.weights:
        if include is None or re.search(include, variable.path):
            path = unique_path(variable.path, variables)
            own = roles.get(id(variable), {})
            variables[path] = _measure(variable, path, own, joint.get(id(variable), False))
    notes = tuple(notes_on(model))
    return ModelStatistics(variables, total(variables.values(), model.name), notes)


def total(statistics, name="total") -> Statistics:
    """The numbers of several variables together."""
    parts = list(statistics)

    def add(attribute):
        known = [getattr(part, attribute) for part in parts]
        known = [value for value in known if value is not None]
        return sum(known) if known else None

    return Statistics(
        path=name,
        shape=(),
        size=add("size") or 0,
        zeros=add("zeros") or 0,
        nonfinite=add("nonfinite") or 0,
        l1=add("l1") or 0.0,
        l2=math.sqrt(sum(part.l2**2 for part in parts)),
        # Python's max loses a NaN, NumPy's does not.
        max=float(np.max([part.max for part in parts], initial=0.0)),
        penalty=add("penalty") or 0.0,
        units=add("units"),
        dead_units=add("dead_units"),
        inputs=add("inputs"),
        dead_inputs=add("dead_inputs"),
        regularized=any(part.regularized for part in parts),
    )


def nonfinite_paths(variables) -> list[str]:
    """The paths of the variables that hold a NaN or an infinity."""
    return [variable.path for variable in variables if not is_finite(variable)]


def _measure(variable, path, roles, joint):
    shape = tuple(variable.shape)
    # Biases and norms have units too, but their zeros kill none.
    has_units = len(shape) > 1 and variable.name != "bias"
    roles = {role: groups for role, groups in roles.items() if has_units}
    if joint is not False:
        roles.pop("output", None)
    zeros, nonfinite, l1, l2, largest, dead = measure(variable, roles)
    if joint:
        dead["output"] = joint()
    counts = {role: (len(each), int(each.sum())) for role, each in dead.items()}
    units, dead_units = counts.get("output", (None, None))
    inputs, dead_inputs = counts.get("input", (None, None))
    regularizer = variable.regularizer if variable.trainable else None
    return Statistics(
        path=path,
        shape=shape,
        size=math.prod(shape),
        zeros=zeros,
        nonfinite=nonfinite,
        l1=l1,
        l2=l2,
        max=largest,
        penalty=0.0 if regularizer is None else _penalty(regularizer, variable, l1, l2),
        units=units,
        dead_units=dead_units,
        inputs=inputs,
        dead_inputs=dead_inputs,
        regularized=regularizer is not None,
        _dead=dead,
    )


def _penalty(regularizer, variable, l1, l2):
    regularizer = plain(regularizer)
    elementwise = with_prox(regularizer)
    if type(elementwise) in (L1, L2, L1L2):
        # Their sums are there already.
        sums = {"l1": l1, "l2": l2**2}
        return sum(factor * sums[name] for name, factor in elementwise.get_config().items())
    return float(ops.convert_to_numpy(regularizer(variable)))
