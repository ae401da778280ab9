"""Comparison of the outputs of the shrunk model and the original."""

import contextlib
import itertools
import math

import keras
import numpy as np
from keras import ops, tree

from kerasreg._common.snapshot import unchanged
from kerasreg._graph.precision import WIDEST
from kerasreg._graph.tracing import functional_of
from kerasreg._shrinking.trials import hidden_steps, is_small, trials

#: Values for undefined input sizes; the first two that the model accepts are used. Large ones come
#: first: a deep network reduces small images to tensors without elements, often without an error.
_SIZES = (64, 75, 96, 224, 256, 32, 18, 13)
#: Differences up to this are always accepted.
_TOLERANCE = {"float64": 1e-9, "float32": 1e-3}
#: Ten thousand times the rounding error of one number.
_ROUNDINGS = {"float64": 2e-12, "float32": 1e-3}
#: The largest difference that rounding can explain, if there is no comparison in a wider dtype.
_MOST = {"float64": 1e-3, "float32": 0.1}
#: Differences up to this need no comparison in a wider dtype.
_ROUNDING = {"float64": 1e-9, "float32": 2e-6}


def verify(model, small, in_float64, shapes):
    """Compares the outputs of two models on the inputs of `trials.py`.

    Undefined sizes are tried with two values. Models are compared in float64 if they are small or
    if their difference may be more than rounding.

    Args:
        model: the original.
        small: the shrunk model.
        in_float64: a function without arguments that returns both models in float64.
        shapes: shapes of the inputs, without the batch axis; None for undefined sizes.

    Returns:
        `(difference, dtype)`: the largest difference relative to the largest output, and the dtype
        of the comparison.

    Raises:
        RuntimeError: if the difference is larger than rounding explains.
    """
    dtype = model.compute_dtype
    dtype = WIDEST if dtype == "float64" else dtype
    has_wider = dtype != WIDEST == "float64"
    # A small model gets all trials in float64 afterwards.
    is_first_look = has_wider and is_small(model)
    difference = _difference(model, small, shapes, is_first_look)
    _require(difference, dtype, model, shapes, most=math.inf if has_wider else None)
    if has_wider and (is_first_look or not difference <= _ROUNDING.get(dtype, 0.0)):
        try:
            difference, dtype = _difference(*in_float64(), shapes), "float64"
        except Exception:
            # Not every layer computes in float64.
            difference = _difference(model, small, shapes)
        _require(difference, dtype, model, shapes)
    return difference, dtype


def _require(difference, dtype, model, shapes, most=None):
    tolerance = _TOLERANCE.get(dtype, 0.1)
    if not difference <= tolerance:
        # A deep network may amplify rounding errors as much as a small change of its inputs. The
        # amplification of a discontinuous model is unbounded; `most` limits it.
        explained = _ROUNDINGS.get(dtype, 10.0) * _amplification(model, shapes)
        most = most or _MOST.get(dtype, 0.5)
        tolerance = max(tolerance, min(explained, most))
    if not difference <= tolerance:
        raise RuntimeError(
            f"The outputs of the shrunk model must equal those of '{model.name}'. Received: "
            f"outputs that differ by {difference:.1e}, relative to the largest one, where rounding "
            f"in {dtype} explains at most {tolerance:.0e}. The shrunk model is not returned. If "
            "the model has custom layers with rules, or custom layers that inherit from layers of "
            "Keras, check these first. Otherwise, please report this model."
        )


def _difference(model, small, shapes, only_plain=False):
    # Calls may update the states of recurrent layers.
    with unchanged([*_states(model), *_states(small)]):
        return _largest_difference(model, small, shapes, only_plain)


def _largest_difference(model, small, shapes, only_plain):
    worst, tried, failure = 0.0, 0, None
    # A model that rejects some ids of its embeddings is tried with the ids 0 and 1.
    for high, sizes in itertools.product((None, 2), _sizes(shapes)):
        if high and tried:
            break
        rng = np.random.default_rng(tried)
        plain = only_plain or tried > 0
        try:
            for place, trial in enumerate(trials(model, sizes, rng, plain, high)):
                worst = max(worst, _compare(model, small, trial, place == 0))
        except _NotTakenError as error:
            # This size may be too small for a convolution, or too long for a position embedding.
            failure = failure or error.__cause__
            continue
        tried += 1
        if tried == 2:
            break
    if not tried:
        raise failure
    return worst


def _sizes(shapes):
    """Yields shapes of all inputs, with undefined sizes that are all different or all the same."""
    count = sum(each is None for shape in shapes for each in shape)
    for place in range(len(_SIZES) if count else 1):
        for step in (1, 0) if count > 1 else (0,):
            sizes = (_SIZES[(place + step * i) % len(_SIZES)] for i in range(count))
            yield [[next(sizes) if each is None else each for each in shape] for shape in shapes]


class _NotTakenError(Exception):
    """The model does not accept these inputs."""


def _compare(model, small, trial, is_first):
    """Returns the largest difference of the outputs; 0 if the original cannot compute a trial."""
    inputs = tree.pack_sequence_as(functional_of(model)._inputs_struct, trial.inputs)
    try:
        expected = _outputs(model, inputs, trial)
    except Exception as error:
        if is_first:
            raise _NotTakenError from error
        return 0.0
    samples = _finite_samples(expected) if trial.is_special else slice(None)
    if samples is None:
        return 0.0
    try:
        outputs = _outputs(small, inputs, trial)
    except Exception:
        return math.inf
    pairs = zip(expected, outputs, strict=True)
    return max(_relative(old[samples], new[samples]) for old, new in pairs)


def _finite_samples(outputs):
    """Returns a bool array of the samples that are finite in all outputs.

    None if there is no such sample, or if the outputs have no common batch axis.
    """
    if len({each.shape[:1] for each in outputs}) != 1 or not outputs[0].ndim:
        return None
    finite = [np.isfinite(each).reshape(len(each), -1).all(axis=1) for each in outputs]
    samples = np.all(finite, axis=0)
    return samples if samples.any() else None


def _amplification(model, shapes, change=1e-6):
    """Returns the relative change of the outputs divided by that of the inputs."""
    rng = np.random.default_rng(0)
    sizes = [[_SIZES[0] if each is None else each for each in shape] for shape in shapes]
    inputs = next(trials(model, sizes, rng, kinds=("plain",))).inputs
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


def _outputs(model, inputs, trial=None):
    hiding = trial is not None and trial.hides_steps
    with hidden_steps(model) if hiding else contextlib.nullcontext():
        outputs = tree.flatten(model(inputs, training=False))
    return [_array(each) for each in outputs]


def _array(tensor):
    # NumPy does not support bfloat16.
    narrow = keras.backend.standardize_dtype(tensor.dtype) == "bfloat16"
    tensor = ops.cast(tensor, "float32") if narrow else tensor
    return np.asarray(ops.convert_to_numpy(tensor)).astype("float64")


def _relative(old, new):
    if old.shape != new.shape:
        return math.inf
    # Infinities and NaN must be equal in both.
    differs = ~((old == new) | (np.isnan(old) & np.isnan(new)))
    difference = np.abs(old[differs] - new[differs]).max(initial=0.0)
    scale = np.abs(old[np.isfinite(old)]).max(initial=0.0)
    difference = float(difference / scale) if scale > 0 else float(difference)
    return math.inf if math.isnan(difference) else difference
