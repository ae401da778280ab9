"""The proof: the small model against the original, on random inputs."""

import contextlib
import math

import keras
import numpy as np
from keras import ops, tree

from kerasreg.shrinking.graph import functional_of
from kerasreg.shrinking.precision import WIDEST

#: What unknown sizes of the inputs are tried as: the first two that the model takes. Of images
#: that are too small, nothing is left in the middle of a deep network, often without an error.
_SIZES = (64, 75, 96, 224, 256, 32, 18, 13)
_TOLERANCE = {"float64": 1e-9, "float32": 1e-3}
#: Ten thousand times the rounding of one number.
_ROUNDINGS = {"float64": 2e-12, "float32": 1e-3}
#: What rounding explains without doubt, and up to which size a second look costs nothing.
_ROUNDING, _SMALL = {"float64": 1e-9, "float32": 2e-6}, 300_000


def verify(model, small, in_float64, shapes):
    """`(difference, dtype)` of two models: the largest of their outputs, over random inputs.

    It is relative to the largest output. Inputs of unknown sizes are tried in two of them. Models
    that are small, and those whose dtype leaves a doubt, are compared in float64.

    Args:
        in_float64: gives both models in float64.
        shapes: those of the inputs, without the batch; None where a size is unknown.

    Raises:
        RuntimeError: if it is larger than rounding explains.
    """
    dtype = model.compute_dtype
    dtype = WIDEST if dtype == "float64" else dtype
    difference = _difference(model, small, shapes)
    _require(difference, dtype, model, shapes)
    in_doubt = not difference <= _ROUNDING.get(dtype, 0.0) or model.count_params() < _SMALL
    if in_doubt and dtype != WIDEST == "float64":
        # Not every layer computes in float64.
        with contextlib.suppress(Exception):
            difference, dtype = _difference(*in_float64(), shapes), "float64"
        _require(difference, dtype, model, shapes)
    return difference, dtype


def _require(difference, dtype, model, shapes):
    tolerance = _TOLERANCE.get(dtype, 0.1)
    if not difference <= tolerance:
        # A deep network may blow rounding up: as much as it does with a change of its inputs.
        tolerance = max(tolerance, _ROUNDINGS.get(dtype, 10.0) * _amplification(model, shapes))
    if not difference <= tolerance:
        raise RuntimeError(
            f"`kerasreg.shrink` made a model whose outputs differ by {difference:.1e} relative to "
            f"those of '{model.name}', where {dtype} explains at most {tolerance:.0e}: it is not "
            "returned. If layers of your own have rules or inherit from Keras' layers, look there "
            "first; else please report this model."
        )


def _difference(model, small, shapes, seed=0):
    rng = np.random.default_rng(seed)
    samples = 2 if model.count_params() < _SMALL else 1
    has_unknown_size = any(None in each for each in shapes)
    states = [(each, ops.copy(each.value)) for each in (*_states(model), *_states(small))]
    worst, tried = 0.0, 0
    for size in _SIZES:
        inputs = _random_inputs(model, shapes, size, samples, rng)
        inputs = tree.pack_sequence_as(functional_of(model)._inputs_struct, inputs)
        try:
            expected = _outputs(model, inputs)
        except Exception:
            # Too small for its convolutions, or too long for its positions?
            if not has_unknown_size or (size == _SIZES[-1] and not tried):
                raise
            continue
        pairs = zip(expected, _outputs(small, inputs), strict=True)
        worst = max([worst, *(_relative(old, new) for old, new in pairs)])
        tried += 1
        if tried == 2 or not has_unknown_size:
            break
    # The states of a recurrent layer may have moved on.
    for variable, value in states:
        variable.assign(value)
    return worst


def _amplification(model, shapes, change=1e-6):
    """How many times as large as a relative change of the inputs that of the outputs is."""
    rng = np.random.default_rng(0)
    inputs = _random_inputs(model, shapes, _SIZES[0], 1, rng)
    changed = [
        each * (1 + change * rng.normal(size=each.shape)).astype(each.dtype)
        if each.dtype.kind == "f"
        else each
        for each in inputs
    ]
    pack = functional_of(model)._inputs_struct
    pairs = zip(
        *(_outputs(model, tree.pack_sequence_as(pack, each)) for each in (inputs, changed)),
        strict=True,
    )
    return max(_relative(old, new) for old, new in pairs) / change


def _states(model):
    recurrent = [e for e in model._flatten_layers() if getattr(e, "stateful", False)]
    return [*model.non_trainable_variables, *(state for each in recurrent for state in each.states)]


def _random_inputs(model, shapes, size, samples, rng):
    return [
        _random(tensor, [size if each is None else each for each in shape], samples, rng)
        for tensor, shape in zip(model.inputs, shapes, strict=True)
    ]


def _random(tensor, shape, samples, rng):
    shape = [tensor.shape[0] or samples, *shape]
    if keras.backend.is_float_dtype(tensor.dtype):
        return rng.normal(size=shape).astype(tensor.dtype)
    # Small numbers are indices of any table, and valid as masks.
    return rng.integers(0, 2, shape).astype(tensor.dtype)


def _outputs(model, inputs):
    outputs = tree.flatten(model(inputs, training=False))
    return [_array(each) for each in outputs]


def _array(tensor):
    # NumPy has no bfloat16.
    narrow = keras.backend.standardize_dtype(tensor.dtype) == "bfloat16"
    tensor = ops.cast(tensor, "float32") if narrow else tensor
    return np.asarray(ops.convert_to_numpy(tensor)).astype("float64")


def _relative(old, new):
    if old.shape != new.shape:
        return math.inf
    # What is infinite or not a number must be so in both.
    differs = ~((old == new) | (np.isnan(old) & np.isnan(new)))
    difference = np.abs(old[differs] - new[differs]).max(initial=0.0)
    scale = np.abs(old[np.isfinite(old)]).max(initial=0.0)
    return float(difference / scale) if scale > 0 else float(difference)
