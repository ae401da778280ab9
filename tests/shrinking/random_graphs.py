"""Random parts of graphs: branches, gates, attention, nested models, `keras.ops`."""

import keras
import numpy as np
from keras import layers, ops
from shrinking.random_layers import SAME_PLACES


def _branch(r, x, width=None, depth=2):
    """Adds up to three layers that change the last axis only, and a projection to `width`."""
    for _ in range(r.pick([0, 1, 2, 3])):
        if depth and r.coin(0.2):
            x = r.pick(_SAME_SHAPE)(r, x, depth - 1)
        else:
            x = r.pick(SAME_PLACES[x.ndim])(r, x)(x)
    return x if width is None else _project(r, x, width)


def _project(r, x, width):
    kernel = r.pick([1, 3])
    if x.ndim == 2 or r.coin(0.3):
        return layers.Dense(width, **r.options())(x)
    conv = {3: layers.Conv1D, 4: layers.Conv2D, 5: layers.Conv3D}[x.ndim]
    return conv(width, kernel, padding="same", **r.options())(x)


def combine(r, tensors):
    """Combines tensors of one shape elementwise."""
    layer = r.pick([layers.Add] * 4 + [layers.Average, layers.Maximum, layers.Minimum])
    functions = [layer()] * 6 + [
        layers.Multiply(),
        lambda xs: layers.Subtract()(xs[:2]),
        lambda xs: xs[0] + xs[1],
        lambda xs: 2.0 * xs[0] - xs[1] / 3.0,
        lambda xs: xs[0] * ops.sigmoid(xs[1]),
        lambda xs: ops.maximum(xs[0], 0.1 * xs[1]),
    ]
    return r.pick(functions)(tensors)


def _residual(r, x, depth=2):
    return combine(r, [x, _branch(r, x, x.shape[-1], depth)])


def _two_branches(r, x, depth=2):
    return combine(r, [_branch(r, x, x.shape[-1], depth) for _ in range(2)])


def pair(r, x, depth=2):
    """Two layers, `writer_N` and `reader_N`: only the second one uses the output of the first."""
    number, width = next(r.numbers), x.shape[-1]
    names, options = (f"writer_{number}", f"reader_{number}"), {"use_bias": r.coin()}
    activation = r.pick(["relu", "relu", "tanh", "gelu", "sigmoid", None])
    if x.ndim in (3, 4) and r.coin(0.7):
        conv, size = {3: layers.Conv1D, 4: layers.Conv2D}[x.ndim], r.pick([1, 3])
        y = conv(8, 3, padding="same", activation=activation, name=names[0], **options)(x)
        return conv(width, size, padding="same", name=names[1], **options)(y)
    y = layers.Dense(8, activation, name=names[0], **options)(x)
    return layers.Dense(width, name=names[1], **options)(y)


def _excited(r, x, depth=2):
    """A squeeze-and-excitation block."""
    if x.ndim not in (3, 4):
        return x * layers.Dense(x.shape[-1], "sigmoid")(x)
    width = x.shape[-1]
    pool = layers.GlobalAveragePooling1D if x.ndim == 3 else layers.GlobalAveragePooling2D
    if r.coin():
        gate = layers.Reshape((*[1] * (x.ndim - 2), width))(pool()(x))
    else:
        gate = pool(keepdims=True)(x)
    gate = layers.Dense(max(1, width // 2), "relu")(gate)
    gate = layers.Dense(width, r.pick(["sigmoid", "hard_sigmoid"]), use_bias=r.coin())(gate)
    return layers.Multiply()(r.pick([[x, gate], [gate, x]]))


def _shared(r, x, depth=2):
    """A layer that is called twice, possibly on its own output."""
    width = x.shape[-1]
    layer = layers.Dense(width, **r.options())
    if x.ndim == 4 and r.coin():
        layer = layers.Conv2D(width, 3, padding="same", **r.options())
    first = layer(x)
    second = layer(r.pick([first, _branch(r, x, width, depth)]))
    return second if r.coin() else combine(r, [first, second])


def _nested(r, x, depth=2):
    """A nested Functional or Sequential model that is called once or twice."""
    width = x.shape[-1]
    inner = keras.Input(x.shape[1:], dtype="float64")
    if r.coin():
        model = keras.Model(inner, _branch(r, inner, width, depth))
    else:
        # The layers are called once to get their shapes, and then created again from their configs.
        stack = [inner]
        for _ in range(r.pick([1, 2])):
            stack.append(r.pick(SAME_PLACES[x.ndim][:4])(r, stack[-1])(stack[-1]))
        stack.append(_project(r, stack[-1], width))
        made = [y._keras_history.operation for y in stack[1:]]
        fresh = [type(each).from_config(each.get_config()) for each in made]
        model = keras.Sequential([keras.Input(x.shape[1:], dtype="float64"), *fresh])
    model.trainable = r.coin(0.8)
    y = model(x)
    if r.coin(0.6):
        return combine(r, [x, y])
    return model(y) if r.coin() else combine(r, [y, model(_branch(r, x, width, depth))])


def _attended(r, x, depth=2):
    """Attention layers with projections."""
    if x.ndim != 3:
        return _excited(r, x, depth)
    width, heads = x.shape[-1], r.pick([1, 2, 3])
    other = r.pick([x, _branch(r, x, width, depth)])
    size, use_bias = r.pick([2, 3]), r.coin(0.7)
    makers = [
        lambda: layers.MultiHeadAttention(heads, size, r.pick([None, 2]), use_bias=use_bias),
        lambda: layers.MultiHeadAttention(heads, size, use_bias=use_bias),
        lambda: layers.GroupQueryAttention(size, 2 * heads, heads, use_bias=use_bias),
    ]
    return combine(r, [x, r.pick(makers)()(x, other)])


def _dotted(r, x, depth=2):
    """Attention without projections: `Attention`, `matmul`, `einsum`, `Dot`."""
    if x.ndim != 3:
        return _two_branches(r, x, depth)
    query, value = [_branch(r, x, x.shape[-1], depth) for _ in range(2)]
    makers = [
        lambda: layers.Attention(use_scale=True)([query, value]),
        lambda: layers.AdditiveAttention()([query, value]),
        lambda: ops.matmul(ops.softmax(ops.matmul(query, ops.transpose(x, (0, 2, 1)))), value),
        lambda: ops.einsum("btc,bsc,bsd->btd", query, x, value),
        lambda: layers.Dot(axes=2)([query, value]) @ x,
    ]
    return r.pick(makers)()


def _concatenated(r, x, depth=2):
    parts = [r.pick([x, _branch(r, x, None, depth)]) for _ in range(r.pick([2, 3]))]
    axis = -1
    if x.ndim > 2 and r.coin(0.25):
        axis, parts = r.pick(range(1, x.ndim - 1)), [_project(r, y, 4) for y in parts]
    parts = [parts[i] for i in r.rng.permutation(len(parts))]
    if len({y.shape[1:-1] for y in parts}) > 1 or len({y.ndim for y in parts}) > 1:
        return parts[0]
    join = r.pick([layers.Concatenate(axis), lambda xs: ops.concatenate(xs, axis)])
    y = join(parts)
    return _project(r, y, 4) if depth < 2 and y.shape[-1] > 8 else y


def _raw(r, x, depth=2):
    """An expression of `keras.ops` that keeps the rank and the size of the last axis."""
    half = max(1, x.shape[-1] // 2)
    others = tuple(range(1, x.ndim - 1))
    functions = [
        lambda: ops.relu(x),
        lambda: ops.tanh(-x) + 0.5,
        lambda: 1.0 / (1.0 + x**2),
        lambda: ops.concatenate([x[..., half:], x[..., :half]], axis=-1),
        lambda: x[..., ::-1],
        lambda: ops.roll(x, 1, axis=-1),
        lambda: x - ops.mean(x, axis=-1, keepdims=True),
        lambda: x - ops.mean(x, axis=1, keepdims=True),
        lambda: x / ops.sqrt(1.0 + ops.mean(x * x, axis=-1, keepdims=True)),
        lambda: ops.transpose(
            ops.transpose(x, (0, x.ndim - 1, *others)), (0, *range(2, x.ndim), 1)
        ),
        lambda: ops.stack([x, x * x], axis=-1)[..., r.pick([0, 1])],
        lambda: ops.where(x > 0, x, 0.1 * x),
        lambda: x * np.linspace(0.0, 1.0, x.shape[-1]),
        lambda: x + np.linspace(-1.0, 1.0, x.shape[-1]),
        lambda: ops.reshape(ops.reshape(x, (-1, int(np.prod(x.shape[1:])))), (-1, *x.shape[1:])),
        lambda: ops.cumsum(x, axis=-1),
        lambda: ops.softmax(x, axis=-1),
        lambda: ops.squeeze(ops.expand_dims(x, 1), 1),
        lambda: ops.take(x, list(range(x.shape[-1]))[::-1], axis=-1),
        lambda: ops.matmul(x, np.linspace(-1.0, 1.0, x.shape[-1] ** 2).reshape(x.shape[-1], -1)),
    ]
    return r.pick(functions)()


def _gated(r, x, depth=2):
    """A gated linear unit: one half of the features multiplies the other."""
    y = _project(r, x, 2 * x.shape[-1])
    first, second = ops.split(y, 2, axis=-1)
    return first * r.pick([ops.sigmoid, ops.silu, ops.relu])(second)


def _sliced(r, x, depth=2):
    """Slices, splits, tiles and pads of any axis, at the same rank."""
    if x.ndim == 2:
        return _raw(r, x, depth)
    size = x.shape[1]
    cut = int(r.rng.integers(1, size)) if size > 1 else 1
    functions = [
        lambda: x[:, -cut:],
        lambda: x[:, :cut],
        lambda: x[:, ::2],
        lambda: x[:, ::-1],
        lambda: x[..., : max(1, x.shape[-1] // 2)],
        lambda: x[:, -1][:, None],
        lambda: ops.expand_dims(x[:, 0], 1) + x,
        lambda: ops.concatenate(ops.split(x, [cut], axis=1)[::-1], axis=1) if size > 1 else x,
        lambda: ops.stack(ops.unstack(x, size, axis=1), axis=1),
        lambda: ops.take(x, [0, size - 1], axis=1),
        lambda: ops.roll(x, 1, axis=1),
        lambda: ops.flip(x, axis=1),
        lambda: ops.tile(x, [1, 2, *[1] * (x.ndim - 2)]),
        lambda: ops.repeat(x, 2, axis=r.pick([1, x.ndim - 1])),
        lambda: ops.pad(x, [[0, 0], [1, 2], *[[0, 0]] * (x.ndim - 2)]),
        lambda: ops.pad(x, [[0, 0], [0, 1], *[[0, 0]] * (x.ndim - 2)], mode="symmetric"),
        lambda: ops.sum(x, axis=1, keepdims=True),
        lambda: ops.clip(x, -1.0, np.linspace(0.0, 1.0, x.shape[-1]).tolist()),
        lambda: layers.Rescaling(np.linspace(0.5, 1.0, x.shape[-1]).tolist(), offset=0.5)(x),
        lambda: ops.maximum(x, ops.mean(x, axis=1, keepdims=True)),
        lambda: x - x[:, :1] * 0.5 + ops.abs(x) / (1.0 + ops.abs(x)),
        lambda: layers.Activation(r.pick(["sparsemax", "hard_tanh", "softmax"]))(x),
    ]
    return r.pick(functions)()


def _split_by_hand(r, x, depth=2):
    """Attention whose queries, keys and values come from one kernel."""
    if x.ndim != 3:
        return _sliced(r, x, depth)
    steps, width, heads = x.shape[1], x.shape[-1], r.pick([1, 2])
    y = layers.Dense(3 * heads * 2, use_bias=r.coin())(x)
    y = ops.transpose(layers.Reshape((steps, 3, heads, 2))(y), (2, 0, 3, 1, 4))
    makers = [
        lambda: (y[0], y[1], y[2]),
        lambda: ops.unstack(y, 3, axis=0),
        lambda: [ops.squeeze(each, 0) for each in ops.split(y, 3, axis=0)],
    ]
    query, key, value = r.pick(makers)()
    scores = ops.softmax(ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))))
    y = ops.transpose(ops.matmul(scores, value), (0, 2, 1, 3))
    return combine(r, [x, layers.Dense(width)(layers.Reshape((steps, heads * 2))(y))])


def _masked(r, x, depth=2):
    """Layers that use masks, after layers that create them."""
    if x.ndim != 3:
        return _sliced(r, x, depth)
    width = x.shape[-1]
    masked = layers.Masking(r.pick([0.0, 0.0, 1.0]))(r.pick([x, ops.relu(x)]))
    branches = [
        layers.Dense(width, **r.options())(masked),
        layers.Dense(width, **r.options())(r.pick([x, masked])),
    ]
    if r.coin(0.3):
        branches[0] = layers.BatchNormalization()(branches[0])
    if r.coin():
        branches = branches[::-1]
    makers = [
        *(layers.Maximum(), layers.Minimum(), layers.Multiply(), layers.Add(), layers.Average()),
        *(layers.Attention(), layers.Subtract(), layers.Attention(use_scale=True)),
        lambda xs: layers.MultiHeadAttention(2, 2)(*xs),
        lambda xs: layers.GroupQueryAttention(2, 2, 1)(*xs),
        lambda xs: layers.LSTM(width, return_sequences=True)(xs[0]),
        lambda xs: layers.Bidirectional(layers.GRU(width), merge_mode="sum")(xs[0])[:, None],
        lambda xs: layers.GlobalAveragePooling1D()(xs[0])[:, None] + xs[1],
        lambda xs: layers.Dense(width)(layers.Concatenate()(xs)),
        lambda xs: layers.Maximum()([ops.abs(xs[0]), layers.Dropout(0.5)(xs[1])]),
    ]
    return r.pick(makers)(branches)


_SAME_SHAPE = [
    *(_residual, _two_branches, _excited, _shared, _nested, _attended, _dotted, _raw, _gated, pair),
]
GRAPHS = [*_SAME_SHAPE, _residual, _excited, _concatenated, _concatenated, _raw]
#: Also with masks, slices and operators.
CUT_AND_MASKED = [*GRAPHS, *[_sliced] * 4, *[_masked] * 5, *[_split_by_hand] * 2, _raw]
