"""Measurements on data for scores: gradients of the loss, and norms of the inputs of layers."""

import contextlib

import numpy as np
from keras import layers, ops

from kerasreg._common.batches import Batches, samples_in
from kerasreg._graph.calls import replaced_call
from kerasreg._graph.families import CONV, CONV_TRANSPOSE, DEPTHWISE, SEPARABLE
from kerasreg._graph.variables import all_layers, owners, require_compiled
from kerasreg._pruning.gradients import gradients_of


def loss_gradients(model, variables, x, y=None, batch_size=128):
    """Returns the mean gradient of the loss over data, as one float32 array per variable.

    The loss is computed in training mode. The model is not changed, including the moving averages
    of BatchNormalization.
    """
    require_compiled(model, "kerasreg.scores.SNIP")
    data = Batches(x, y, None, batch_size, "kerasreg.scores.SNIP")
    # Gradients in float16 may vanish, and scaled ones may overflow.
    is_half = any(layer.compute_dtype == "float16" for layer in all_layers(model))
    scale = 2.0**15 if is_half else 1.0
    with _unchanged(model.non_trainable_variables + model.metrics_variables):
        gradients = _mean_gradients(model, variables, data, scale)
        while scale > 1 and not all(np.isfinite(each).all() for each in gradients):
            scale /= 2
            gradients = _mean_gradients(model, variables, data, scale)
    return gradients


def _mean_gradients(model, variables, data, scale):
    sums, samples = [0.0] * len(variables), 0
    for batch in data:
        size = samples_in(batch)
        gradients = gradients_of(lambda: scale * _loss(model, *batch), variables)  # noqa: B023
        sums = [total + size * each for total, each in zip(sums, gradients, strict=True)]
        samples += size
    return [total / (scale * samples) for total in sums]


@contextlib.contextmanager
def _unchanged(variables):
    kept = [np.array(ops.convert_to_numpy(variable)) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)


def _loss(model, x, y=None, sample_weight=None):
    predicted = model(x, training=True)
    return model.compute_loss(x, y, predicted, sample_weight, training=True)


def input_norms(model, variables, x, batch_size=128):
    """Returns the norms of inputs over data as `{id(variable): ||x||}`.

    The shape of each norm broadcasts to the weights. Variables whose input is unknown are left out.
    """
    data = Batches(x, None, None, batch_size, "kerasreg.scores.Activation")
    layer_of = owners(model)
    squares, hidden, watched = {}, set(), {}
    for variable in variables:
        watched.setdefault(id(layer_of[id(variable)]), (layer_of[id(variable)], []))[1].append(
            variable
        )
    with contextlib.ExitStack() as stack:
        for layer, own in watched.values():
            stack.enter_context(_watched(layer, own, squares, hidden))
        for batch in data:
            model(batch[0], training=False)
    return {
        key: np.sqrt(total).astype("float32") for key, total in squares.items() if key not in hidden
    }


def _watched(layer, variables, squares, hidden):
    call = layer.call

    def watch(*args, **kwargs):
        inputs = args[0] if args else kwargs.get("inputs")
        if ops.is_tensor(inputs):
            for variable in variables:
                try:
                    norm = _squared_norm(layer, variable, inputs)
                except (TypeError, NotImplementedError):
                    # Tensors in a traced loop (recurrent cells on JAX) have no values.
                    norm = hidden.add(id(variable))
                if norm is not None:
                    squares[id(variable)] = squares.get(id(variable), 0.0) + norm
        return call(*args, **kwargs)

    return replaced_call(layer, watch)


def _squared_norm(layer, variable, inputs):
    """Returns the sum of squares of the input of each weight, or None if it is unknown."""
    rank = len(variable.shape)
    if variable.name not in ("kernel", "depthwise_kernel"):
        return None
    if isinstance(layer, layers.EinsumDense):
        return _einsum_norm(layer.equation, inputs)
    if isinstance(layer, layers.Dense):
        return _sum_squares(inputs, -1)[:, None]
    if isinstance(layer, (*CONV, *CONV_TRANSPOSE, *DEPTHWISE, *SEPARABLE)):
        if getattr(layer, "groups", 1) > 1:
            return None
        channels = _sum_squares(inputs, 1 if layer.data_format == "channels_first" else -1)
        is_transposed = isinstance(layer, CONV_TRANSPOSE)
        return channels.reshape((1,) * (rank - 1) + (-1,) if is_transposed else (-1, 1))
    return None


def _sum_squares(inputs, axis):
    array = np.asarray(ops.convert_to_numpy(inputs), "float64")
    others = tuple(a for a in range(array.ndim) if a != axis % array.ndim)
    return np.square(array).sum(axis=others)


def _einsum_norm(equation, inputs):
    read, kernel, _ = equation.replace("->", ",").split(",")
    front, dots, back = read.partition("...")
    places = {letter: place for place, letter in enumerate(front)}
    if dots:
        places |= {letter: place - len(back) for place, letter in enumerate(back)}
    array = np.square(np.asarray(ops.convert_to_numpy(inputs), "float64"))
    shared = [letter for letter in kernel if letter in places]
    kept = [places[letter] % array.ndim for letter in shared]
    sums = array.sum(axis=tuple(a for a in range(array.ndim) if a not in kept))
    # The remaining axes are in the order of the input, not of the kernel.
    sums = sums.transpose(np.argsort(np.argsort(kept)))
    sizes = iter(sums.shape)
    return sums.reshape([next(sizes) if letter in places else 1 for letter in kernel])
