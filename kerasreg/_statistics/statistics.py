"""`kerasreg.statistics`: sparsity, norms, dead units and non-finite weights of a model."""

import math
import re

import keras
from keras import ops

from kerasreg._graph.notes import notes_on
from kerasreg._graph.roles import model_roles
from kerasreg._graph.units import joint_units
from kerasreg._graph.variables import require_built, require_matches, unique_path
from kerasreg._statistics.numbers import ModelStatistics, Statistics, total
from kerasreg._statistics.reductions import is_finite, measure
from kerasreg._train_step import plain
from kerasreg.regularizers.elementwise import L1, L1L2, L2
from kerasreg.regularizers.keras_own import with_prox


def statistics(model: keras.Model, include: str | None = None) -> ModelStatistics:
    """Computes the sparsity, norms and dead units of every weight variable of a model.

    Counts are exact. Sums are computed in float64 on a CPU and in float32 on a GPU or TPU, where
    the reduction runs on the device.

    Args:
        model: a built Keras model.
        include: regular expression; only variables with a path in which it is found are measured.

    Returns:
        A `kerasreg.results.ModelStatistics`. A unit (neuron, filter, feature of a head) is dead if
        its output is the same for every input, because its column of the kernel is zero; in a
        recurrent layer, because all weights that change its state are zero. Units that several
        variables compute together are counted once, in the first of these variables. For layers of
        unknown classes, the numbers of units are None.

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


def nonfinite_paths(variables) -> list[str]:
    """Returns the paths of the variables that contain NaN or infinite values."""
    return [variable.path for variable in variables if not is_finite(variable)]


def _measure(variable, path, roles, joint):
    shape = tuple(variable.shape)
    # Biases and normalizations have units too, but a zero in them does not make a unit dead.
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
        # The sums are known already.
        sums = {"l1": l1, "l2": l2**2}
        return sum(factor * sums[name] for name, factor in elementwise.get_config().items())
    return float(ops.convert_to_numpy(regularizer(variable)))
