"""The inputs on which two models are compared: ordinary ones and special cases of layers."""

import contextlib
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops

from kerasreg._graph.calls import replaced_call
from kerasreg._graph.leads import leads_of
from kerasreg._graph.tracing import trace

#: The kinds of samples for a small model: see `_floats` and `_ids`.
_KINDS = ("plain", "negative", "positive", "tied", "zero", "some", "one", "last")
_LARGE, _MANY = 100.0, 300_000


@dataclass(frozen=True)
class Trial:
    """Inputs for a model.

    Attributes:
        inputs: a list with an array for each input.
        is_special: True to compare only samples for which the original gives finite outputs.
        hides_steps: True to let each `Masking` mask some steps, independent of its input.
    """

    inputs: list
    is_special: bool = False
    hides_steps: bool = False


def is_small(model):
    """Returns whether a model is so small that many trials cost little time."""
    return model.count_params() < _MANY


def trials(model, sizes, rng, only_plain=False, high=None, kinds=None):
    """Yields the `Trial`s of a model.

    They have numbers of both signs (so that about half of the units of a ReLU are active), large
    numbers, ties, zeros, masked steps and fully masked samples, ids from the first to the last of
    a table and out of range, and minus infinity for models with a softmax. The first trial has
    valid inputs, which the model must accept.

    Args:
        model: a built model with a graph.
        sizes: the shapes of its inputs, without the batch axis.
        rng: a NumPy random generator.
        only_plain: True to leave out all special trials.
        high: ids are below this number. Default: the size of the smallest embedding of an input.
        kinds: the kinds of samples to draw, out of `_KINDS`.
    """
    leads = leads_of(model, high)
    kinds = kinds or (_KINDS if is_small(model) else _KINDS[:1] + _KINDS[5:6])

    def inputs(kinds, **options):
        return _inputs(model, sizes, kinds, leads, rng, **options)

    for each in inputs(kinds):
        yield Trial(each)
    if only_plain or not is_small(model):
        return
    has_masking = any(isinstance(e, layers.Masking) for e in model._flatten_layers())
    if has_masking:
        for each in inputs(kinds):
            yield Trial(each, hides_steps=True)
    are_float = [keras.backend.is_float_dtype(each.dtype) for each in model.inputs]
    are_ids = [each.dtype.startswith(("int", "uint")) for each in model.inputs]
    if any(are_float):
        for each in inputs(("plain", "negative"), scale=_LARGE):
            yield Trial(each, is_special=True)
    if any(are_ids):
        for each in inputs(("beyond", "below")):
            yield Trial(each, is_special=True)
    if any(are_float) and _has_softmax(model):
        for place in np.flatnonzero(are_float):
            for each in inputs(("plain", "some")):
                hidden = rng.random(each[place].shape) < 0.3
                each[place] = np.where(hidden, -np.inf, each[place]).astype(each[place].dtype)
                yield Trial(each, is_special=True)


@contextlib.contextmanager
def hidden_steps(model, seed=0):
    """A context in which the input of each `Masking` has its `mask_value` at some steps."""
    found = [each for each in model._flatten_layers() if isinstance(each, layers.Masking)]
    with contextlib.ExitStack() as stack:
        for place, layer in enumerate(found):
            rng = np.random.default_rng([seed, place])
            stack.enter_context(replaced_call(layer, _hiding(layer, rng)))
        yield


def _hiding(layer, rng):
    call = layer.call

    def hide(inputs, *args, **kwargs):
        hidden = rng.random((*inputs.shape[:-1], 1)) < 0.4
        # The first sample is masked completely.
        hidden[:1] = True
        value = ops.cast(layer.mask_value, inputs.dtype)
        return call(ops.where(ops.convert_to_tensor(hidden), value, inputs), *args, **kwargs)

    return hide


def _inputs(model, sizes, kinds, leads, rng, scale=1.0):
    """Returns batches (a list with an array per input each) that contain all kinds of samples."""
    # Several inputs get the same kinds first, then different ones.
    count = len(kinds) * (1 if len(model.inputs) == 1 else 2)
    batch = next((each.shape[0] for each in model.inputs if each.shape[0]), None) or count
    count = -(-count // batch) * batch
    made = []
    for place, (tensor, size) in enumerate(zip(model.inputs, sizes, strict=True)):
        shifted = [kinds[(each * (place + 1) + place) % len(kinds)] for each in range(len(kinds))]
        order = [*kinds, *shifted, *kinds * (count // len(kinds))][:count]
        samples = [_sample(tensor.dtype, size, kind, leads[place], rng, scale) for kind in order]
        made.append(np.stack(samples).astype(tensor.dtype))
    return [[each[start : start + batch] for each in made] for start in range(0, count, batch)]


def _sample(dtype, shape, kind, lead, rng, scale):
    if keras.backend.is_float_dtype(dtype):
        return _floats(shape, kind, lead.hidden, scale, rng)
    if dtype == "bool":
        # A bool input is usually a mask.
        constant = {"zero": False, "positive": True}.get(kind)
        return rng.random(shape) < 0.5 if constant is None else np.full(shape, constant)
    return _ids(shape, kind, lead.high, rng)


def _floats(shape, kind, hidden, scale, rng):
    numbers = scale * rng.normal(size=shape)
    if kind in ("negative", "positive"):
        return np.abs(numbers) * (1 if kind == "positive" else -1)
    if kind == "tied":
        return np.round(numbers)
    if kind in ("zero", "one"):
        return np.full(shape, hidden if kind == "zero" else 1.0)
    if kind == "some":
        steps = rng.random((*shape[:-1], 1) if len(shape) > 1 else shape) < 0.5
        return np.where(steps, hidden, numbers)
    return numbers


def _ids(shape, kind, high, rng):
    numbers = rng.integers(0, high, shape)
    special = {"zero": 0, "some": 0, "one": 1, "last": high - 1, "below": -1, "beyond": high}
    if kind not in special:
        return numbers
    chosen = rng.random(shape) < (1.0 if kind == "zero" else 0.5)
    return np.where(chosen, special[kind], numbers)


def _has_softmax(model):
    names = [type(call.operation).__name__ for call in trace(model).calls]
    names += [str(getattr(each, "activation", "")) for each in model._flatten_layers()]
    return any("softmax" in each.lower() or "Attention" in each for each in names)
