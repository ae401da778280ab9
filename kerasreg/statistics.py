"""One pass over the weights: how sparse, how large, how dead, how broken."""

import math
import re
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from kerasreg.regularizers.roles import model_roles
from kerasreg.variables import require_built

_BLOCK = 65_536


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
        units: number of output units or filters; None where the layer is unknown.
        dead_units: how many of them have only zero weights; None where the layer is unknown.
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

    @property
    def sparsity(self) -> float:
        """The share of the weights that are exactly 0, from 0.0 to 1.0."""
        return self.zeros / self.size if self.size else 0.0


@dataclass(frozen=True)
class ModelStatistics:
    """What `statistics` returns: `variables` by path, and their `total`."""

    variables: dict[str, Statistics]
    total: Statistics

    def __getitem__(self, path: str) -> Statistics:
        return self.variables[path]

    def __iter__(self):
        return iter(self.variables.values())


def statistics(model, include=None) -> ModelStatistics:
    """Count and measure every weight variable of a model.

    Counts are exact. Sums are made in float64 on a CPU and in float32 on a GPU or TPU, where the
    reduction runs on the device.

    Args:
        model: a built Keras model.
        include: regular expression; only variables with a path in which it is found are measured.

    Returns:
        A `ModelStatistics`. Dead units are counted on kernels: units, filters or heads' features
        whose incoming weights are all exactly zero. What a layer of an unknown kind has as units
        is None, not a guess.

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
    roles = model_roles(model)
    variables = {}
    for variable in model.weights:
        if include is None or re.search(include, variable.path):
            path = _unique(variable.path, variables)
            variables[path] = _measure(variable, path, roles.get(id(variable), {}))
    if not variables:
        raise ValueError(
            f"`include` must match the path of a variable. Received: include={include!r}; the "
            f"paths are {[variable.path for variable in model.weights]}."
        )
    return ModelStatistics(variables, total(variables.values(), model.name))


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
    # A sum is finite only where every weight is, and the first pass is the cheap one.
    suspects = [v for v in variables if not math.isfinite(float(ops.sum(ops.abs(v))))]
    return [v.path for v in suspects if not np.isfinite(_view(v).astype("float64")).all()]


def _measure(variable, path, roles):
    shape = tuple(variable.shape)
    # Biases and norms have units too, but their zeros kill none.
    roles = {role: groups for role, groups in roles.items() if len(shape) > 1}
    measure = _measure_on_host if _is_on_host(variable) else _measure_on_device
    zeros, nonfinite, l1, l2, largest, dead = measure(variable, roles)
    counts = {role: math.prod(shape) // groups.size(shape) for role, groups in roles.items()}
    regularizer = variable.regularizer if variable.trainable else None
    penalty = 0.0 if regularizer is None else float(ops.convert_to_numpy(regularizer(variable)))
    return Statistics(
        path=path,
        shape=shape,
        size=math.prod(shape),
        zeros=zeros,
        nonfinite=nonfinite,
        l1=l1,
        l2=l2,
        max=largest,
        penalty=penalty,
        units=counts.get("output"),
        dead_units=dead.get("output"),
        inputs=counts.get("input"),
        dead_inputs=dead.get("input"),
        regularized=regularizer is not None,
    )


def _measure_on_host(variable, roles):
    array = _view(variable)
    flat = array.reshape(-1)
    alive = np.empty(flat.shape, bool)
    nonfinite, l1, squares, largest = 0, 0.0, 0.0, 0.0
    # In blocks that stay in the cache: every number from one trip through memory.
    with np.errstate(all="ignore"):
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK]
            np.not_equal(block, 0, out=alive[start : start + _BLOCK])
            block = np.abs(block.astype(np.float32 if block.itemsize < 8 else np.float64))
            # np.maximum hands a NaN on.
            largest = float(np.maximum(largest, block.max()))
            l1 += float(block.sum(dtype=np.float64))
            block = block.astype(np.float64)
            squares += float(np.dot(block, block))
            if not math.isfinite(largest):
                nonfinite += int(block.size - np.isfinite(block).sum())
    # `largest` stays NaN or infinite from the first such block on, so blocks after it count too.
    dead = {}
    for role, groups in roles.items():
        view, axes = groups.layout(array.shape)
        dead[role] = int(np.sum(~alive.reshape(view).any(axis=axes)))
    zeros = int(alive.size - np.count_nonzero(alive))
    return zeros, nonfinite, l1, math.sqrt(squares), largest, dead


def _measure_on_device(variable, roles):
    value = ops.convert_to_tensor(variable)
    alive = ops.not_equal(value, 0)
    value = ops.abs(ops.cast(value, "float32"))
    numbers = {
        "zeros": ops.sum(ops.cast(ops.logical_not(alive), "int32")),
        "nonfinite": ops.sum(ops.cast(ops.logical_not(ops.isfinite(value)), "int32")),
        "l1": ops.sum(value),
        "squares": ops.sum(ops.square(value)),
        "max": ops.max(value),
    }
    for role, groups in roles.items():
        view, axes = groups.layout(variable.shape)
        empty = ops.logical_not(ops.any(ops.reshape(alive, view), axis=axes))
        numbers[role] = ops.sum(ops.cast(empty, "int32"))
    numbers = {name: ops.convert_to_numpy(number) for name, number in numbers.items()}
    dead = {role: int(numbers[role]) for role in roles}
    l1, l2 = float(numbers["l1"]), math.sqrt(numbers["squares"])
    return int(numbers["zeros"]), int(numbers["nonfinite"]), l1, l2, float(numbers["max"]), dead


def _is_on_host(variable):
    device = str(getattr(variable.value, "device", "cpu")).lower()
    return "gpu" not in device and "cuda" not in device and "tpu" not in device


def _view(variable):
    """The weights as a NumPy array, without a copy where the backend allows."""
    if keras.backend.backend() == "tensorflow":
        value = variable.value
        if hasattr(value, "read_value"):
            try:
                return np.asarray(memoryview(value.read_value()))
            except (TypeError, ValueError, BufferError):
                # No buffer of this dtype (bfloat16), or not one tensor (a mirrored variable).
                pass
    return np.asarray(ops.convert_to_numpy(variable))


def _unique(path, taken):
    name, count = path, 1
    while name in taken:
        count += 1
        name = f"{path}_{count}"
    return name
