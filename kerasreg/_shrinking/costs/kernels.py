"""Costs of layers with kernels, attention, recurrent layers and matrix products."""

import keras
from keras import layers

from kerasreg._graph.tracing import Call, Tensor, is_model, trace
from kerasreg._shrinking.costs.base import cost, cost_of, cost_of_ops, costs, count, total


@cost_of(layers.Dense, layers.Conv1D, layers.Conv2D, layers.Conv3D)
def _kernel(call, shape):
    """Every output is a sum over all axes of the kernel but the last."""
    layer, (output,) = call.operation, call.outputs
    outputs = count(shape(output))
    return 2 * outputs * count(shape(layer.kernel)[:-1]) + _after(layer, outputs)


@cost_of(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def _depthwise(call, shape):
    layer, (output,) = call.operation, call.outputs
    outputs = count(shape(output))
    return 2 * outputs * count(shape(layer.kernel)[:-2]) + _after(layer, outputs)


@cost_of(layers.SeparableConv1D, layers.SeparableConv2D)
def _separable(call, shape):
    layer, (output,) = call.operation, call.outputs
    outputs = count(shape(output))
    *_, between, filters = shape(layer.pointwise_kernel)
    positions = outputs // filters
    depthwise = positions * count(shape(layer.depthwise_kernel))
    return 2 * (depthwise + positions * between * filters) + _after(layer, outputs)


@cost_of(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def _transposed(call, shape):
    """Every input is multiplied with all elements of the kernel along all axes but the last."""
    layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
    products = count(shape(tensor)) * count(shape(layer.kernel)[:-1])
    return 2 * products + _after(layer, count(shape(output)))


@cost_of(layers.EinsumDense)
def _einsum_dense(call, shape):
    layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
    outputs = count(shape(output))
    products = _einsum(layer.equation, [shape(tensor), shape(layer.kernel)], outputs)
    return 2 * products + _after(layer, outputs)


@cost_of(layers.MultiHeadAttention, layers.GroupQueryAttention)
def _attention(call, shape):
    layer = call.operation
    named = dict(zip(("query", "value", "key"), call.args, strict=False)) | call.kwargs
    query, value = shape(named["query"]), shape(named["value"])
    key = value if named.get("key") is None else shape(named["key"])
    # Keras has no public names for the projections of attention.
    parts = [(layer._query_dense, query), (layer._key_dense, key), (layer._value_dense, value)]
    parts.append((layer._output_dense, query))
    if getattr(layer, "use_gate", False):
        parts.append((layer._gate_dense, query))
    projections = [
        count(each[:-1]) * (2 * count(shape(part.kernel)) + _size(part.bias, shape))
        for part, each in parts
    ]
    axes = getattr(layer, "_attention_axes", None) or range(1, len(value) - 1)
    _, heads, key_dim = shape(layer._query_dense.kernel)
    scores = heads * count(query[:-1]) * count(value[axis] for axis in axes)
    # The scores, their softmax, and the weighted sums of values.
    return sum(projections) + scores * (2 * key_dim + 1 + 2 * shape(layer._value_dense.kernel)[-1])


@cost_of(layers.Attention)
def _dot_attention(call, shape):
    inputs = call.args[0] if call.args else call.kwargs["inputs"]
    query, value, key = map(shape, (*inputs, inputs[1])[:3])
    scores = count(query[:-1]) * key[-2]
    # A score is a dot product, or the sum of tanh(query + key).
    per_score = 2 if getattr(call.operation, "score_mode", "additive") == "dot" else 4
    return scores * (per_score * query[-1] + 1 + 2 * value[-1])


@cost_of(layers.RNN)
def _rnn(call, shape):
    batch, steps, *_ = shape(call.inputs[0])
    return _times(batch * steps, _step(call.operation.cell, shape))


@cost_of(layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D)
def _conv_lstm(call, shape):
    cell, (_, steps, *_) = call.operation.cell, shape(call.inputs[0])
    output = list(shape(call.outputs[0]))
    if call.operation.return_sequences:
        del output[1]
    return steps * (count(output) // shape(cell.recurrent_kernel)[-2]) * _step(cell, shape)


@cost_of(layers.Bidirectional)
def _bidirectional(call, shape):
    layer = call.operation
    both = [
        cost(Call(each, call.args, call.kwargs, call.outputs), shape)
        for each in (layer.forward_layer, layer.backward_layer)
    ]
    merges = layer.merge_mode in ("sum", "mul", "ave")
    return total([*both, count(shape(call.outputs[0])) if merges else 0])


@cost_of(layers.TimeDistributed)
def _time_distributed(call, shape):
    layer, (tensor, *_), (output,) = call.operation.layer, call.inputs, call.outputs
    (batch, steps, *one), (_, _, *result) = shape(tensor), shape(output)
    if is_model(layer):
        return _times(batch * steps, total(costs(trace(layer), shape).values()))
    inner = Call(layer, (Tensor((1, *one)),), {}, [Tensor((1, *result))])
    return _times(batch * steps, cost(inner, shape))


@cost_of(layers.SpectralNormalization)
def _wrapped(call, shape):
    return cost(Call(call.operation.layer, call.args, call.kwargs, call.outputs), shape)


# The oldest supported version of Keras has no `ReversibleEmbedding`.
@cost_of(*filter(None, [getattr(layers, "ReversibleEmbedding", None)]))
def _reversible(call, shape):
    is_reverse = call.kwargs.get("reverse", (*call.args, False)[1])
    return 2 * count(shape(call.outputs[0])) * shape(call.inputs[0])[-1] if is_reverse else 0


@cost_of(layers.Dot)
def _dot(call, shape):
    axes = call.operation.axes
    first, tensor = axes if isinstance(axes, int) else axes[0], call.inputs[0]
    elements = sum(count(shape(each)) for each in call.inputs) if call.operation.normalize else 0
    return 2 * count(shape(call.outputs[0])) * shape(tensor)[first] + elements


@cost_of_ops("Matmul", "Dot")
def _matmul(call, shape):
    return 2 * count(shape(call.outputs[0])) * shape(call.args[0])[-1]


@cost_of_ops("Einsum")
def _einsum_op(call, shape):
    if len(call.args) > 2:
        # The cost depends on the order of contraction, which each backend chooses.
        return None
    shapes = list(map(shape, call.args))
    products = _einsum(call.operation.subscripts, shapes, count(shape(call.outputs[0])))
    return products * len(shapes)


@cost_of_ops("DotProductAttention")
def _attention_op(call, shape):
    batch, queries, heads, size = shape(call.args[0])
    return batch * queries * shape(call.args[1])[1] * heads * (4 * size + 1)


def _step(cell, shape):
    """Returns the FLOPs of one step of one sample; of a convolutional cell, at one position."""
    if isinstance(cell, layers.StackedRNNCells):
        return total(_step(each, shape) for each in cell.cells)
    if not hasattr(cell, "recurrent_kernel"):
        return None
    kernels = count(shape(cell.kernel)) + count(shape(cell.recurrent_kernel))
    return 2 * kernels + _size(cell.bias, shape) + shape(cell.kernel)[-1]


def _einsum(equation, shapes, outputs):
    """Returns the products of an einsum: outputs times the sizes of all summed indices."""
    inputs, written = equation.replace(" ", "").split("->")
    sizes = {}
    for letters, shape in zip(inputs.split(","), shapes, strict=True):
        front, _, back = letters.partition("...")
        sizes |= dict(zip(front, shape, strict=False))
        sizes |= dict(zip(reversed(back), reversed(shape), strict=False))
    return outputs * count(size for letter, size in sizes.items() if letter not in written)


def _after(layer, outputs):
    """Returns the FLOPs of the bias and the activation."""
    return outputs * ((layer.bias is not None) + (layer.activation is not keras.activations.linear))


def _size(variable, shape):
    return 0 if variable is None else count(shape(variable))


def _times(times, each):
    return None if each is None else times * each
