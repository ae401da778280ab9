"""The proof: the small model against the original, on inputs of all kinds."""

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

#: What unknown sizes of the inputs are tried as: the first two that the model takes. Of images
#: that are too small, nothing is left in the middle of a deep network, often without an error.
_SIZES = (64, 75, 96, 224, 256, 32, 18, 13)
_TOLERANCE = {"float64": 1e-9, "float32": 1e-3}
#: Ten thousand times the rounding of one number.
_ROUNDINGS = {"float64": 2e-12, "float32": 1e-3}
#: What rounding explains at most, if nobody looks in a wider dtype.
_MOST = {"float64": 1e-3, "float32": 0.1}
#: What rounding explains without doubt.
_ROUNDING = {"float64": 1e-9, "float32": 2e-6}


def verify(model, small, in_float64, shapes):
    """`(difference, dtype)` of two models: the largest of their outputs, over inputs of all kinds.

    It is relative to the largest output. See `trials.py` for the inputs. Those of
    unknown sizes are tried in two of them. Models that are small, and those whose dtype leaves a
    doubt, are compared in float64.

    Args:
        in_float64: gives both models in float64.
        shapes: those of the inputs, without the batch; None where a size is unknown.

    Raises:
        RuntimeError: if it is larger than rounding explains.
    """
    dtype = model.compute_dtype
    dtype = WIDEST if dtype == "float64" else dtype
    has_wider = dtype != WIDEST == "float64"
    # In float64, a small model is tried with everything.
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
        # A deep network may blow rounding up: as much as it does with a change of its inputs. What
        # jumps would explain anything.
        explained = _ROUNDINGS.get(dtype, 10.0) * _amplification(model, shapes)
        most = most or _MOST.get(dtype, 0.5)
        tolerance = max(tolerance, min(explained, most))
    if not difference <= tolerance:
        raise RuntimeError(
            f"`kerasreg.shrink` made a model whose outputs differ by {difference:.1e} relative to "
            f"those of '{model.name}', where {dtype} explains at most {tolerance:.0e}: it is not "
            "returned. If layers of your own have rules or inherit from Keras' layers, look there "
            "first; else please report this model."
        )


def _difference(model, small, shapes, only_plain=False):
    # The states of a recurrent layer may move on.
    with unchanged([*_states(model), *_states(small)]):
        return _largest_difference(model, small, shapes, only_plain)


def _largest_difference(model, small, shapes, only_plain):
    worst, tried, failure = 0.0, 0, None
    # If a model does not take all ids of its tables, it takes the first two.
    for high, sizes in itertools.product((None, 2), _sizes(shapes)):
        if high and tried:
            break
        rng = np.random.default_rng(tried)
        plain = only_plain or tried > 0
        try:
            for place, trial in enumerate(trials(model, sizes, rng, plain, high)):
                worst = max(worst, _compare(model, small, trial, place == 0))
        except _NotTakenError as error:
            # Too small for its convolutions, or too long for its positions?
            failure = failure or error.__cause__
            continue
        tried += 1
        if tried == 2:
            break
    if not tried:
        raise failure
    return worst


def _sizes(shapes):
    """Sizes of all inputs: those that are unknown are different, or all the same."""
    count = sum(each is None for shape in shapes for each in shape)
    for place in range(len(_SIZES) if count else 1):
        for step in (1, 0) if count > 1 else (0,):
            sizes = (_SIZES[(place + step * i) % len(_SIZES)] for i in range(count))
            yield [[next(sizes) if each is None else each for each in shape] for shape in shapes]


class _NotTakenError(Exception):
    """The model does not take these inputs."""


def _compare(model, small, trial, is_first):
    """The largest difference of the outputs; 0 where the model itself makes nothing of a trial."""
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
    """Which samples are finite in all outputs; None for none, or where outputs have no batch."""
    if len({each.shape[:1] for each in outputs}) != 1 or not outputs[0].ndim:
        return None
    finite = [np.isfinite(each).reshape(len(each), -1).all(axis=1) for each in outputs]
    samples = np.all(finite, axis=0)
    return samples if samples.any() else None


def _amplification(model, shapes, change=1e-6):
    """How many times as large as a relative change of the inputs that of the outputs is."""
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
    difference = float(difference / scale) if scale > 0 else float(difference)
    return math.inf if math.isnan(difference) else difference
