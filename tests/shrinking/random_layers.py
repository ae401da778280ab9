"""Random layers, and the random choices that a seed gives."""

import itertools

import keras
import numpy as np
from keras import layers


class Choices:
    """The random choices of one seed."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        #: Numbers the pairs `writer_N`, `reader_N`: a dead unit between them must be removed.
        self.numbers = itertools.count()

    def coin(self, share=0.5):
        return bool(self.rng.random() < share)

    def pick(self, options):
        return options[self.rng.integers(len(options))]

    def width(self):
        return self.pick([2, 3, 4, 6, 8])

    def activation(self):
        names = ["relu"] * 6 + [None] * 3 + ["sigmoid", "tanh", "gelu", "elu", "silu", "leaky_relu"]
        return "softmax" if self.coin(0.03) else self.pick(names)

    def options(self):
        """Returns random arguments of a layer with a kernel."""
        return {"activation": self.activation(), "use_bias": self.coin(0.7)}


# Layers that change the last axis of a tensor only.


def _dense(r, x):
    return layers.Dense(r.width(), **r.options())


def _conv_same(r, x):
    conv = {3: layers.Conv1D, 4: layers.Conv2D}[x.ndim]
    groups = r.pick([g for g in (1, 1, 1, 2, x.shape[-1]) if x.shape[-1] % g == 0])
    filters = groups * r.pick([1, 2]) if groups > 1 else r.width()
    dilation = r.pick([1, 1, 2]) if keras.backend.backend() != "tensorflow" or groups == 1 else 1
    padding = "causal" if x.ndim == 3 and r.coin(0.1) else "same"
    size = r.pick([1, 2, 3])
    return conv(
        filters, size, padding=padding, groups=groups, dilation_rate=dilation, **r.options()
    )


def _depthwise_same(r, x):
    conv = {3: layers.DepthwiseConv1D, 4: layers.DepthwiseConv2D}[x.ndim]
    return conv(3, padding="same", depth_multiplier=r.pick([1, 1, 2]), **r.options())


def _separable_same(r, x):
    conv = {3: layers.SeparableConv1D, 4: layers.SeparableConv2D}[x.ndim]
    multiplier = r.pick([1, 1, 2])
    return conv(r.width(), 3, padding="same", depth_multiplier=multiplier, **r.options())


def _batch_norm(r, x):
    axis = r.pick([1, 2]) if x.ndim > 2 and r.coin(0.05) else -1
    return layers.BatchNormalization(axis=axis, center=r.coin(0.8), scale=r.coin(0.9))


def _feature_norm(r, x):
    groups = r.pick([g for g in (1, 2, x.shape[-1]) if x.shape[-1] % g == 0])
    makers = [
        lambda: layers.LayerNormalization(),
        lambda: layers.LayerNormalization(rms_scaling=True),
        lambda: layers.LayerNormalization(axis=list(range(1, x.ndim))),
        lambda: layers.RMSNormalization(),
        lambda: layers.UnitNormalization(),
        lambda: layers.GroupNormalization(groups),
    ]
    return r.pick(makers)()


def _activation(r, x):
    makers = [
        lambda: layers.Activation(r.activation() or "relu"),
        lambda: layers.ReLU(max_value=r.pick([None, 6.0]), negative_slope=r.pick([0.0, 0.1])),
        lambda: layers.LeakyReLU(),
        lambda: layers.PReLU(shared_axes=r.pick([None, [1]]) if x.ndim > 2 else None),
        # With a mask, `Softmax` needs one of the shape of its input.
        lambda: (
            layers.ReLU()
            if getattr(x, "_keras_mask", None) is not None
            else layers.Softmax(axis=r.pick([-1, 1]))
        ),
        lambda: layers.Rescaling(2.0, offset=r.pick([0.0, 1.0])),
    ]
    return r.pick(makers[:3] * 4 + makers)()


def _quiet(r, x):
    return r.pick([layers.Dropout(0.3), layers.GaussianNoise(0.1), layers.Identity()])


def _recurrent(r, x):
    cell = r.pick([layers.LSTM, layers.GRU, layers.SimpleRNN])
    layer = cell(r.pick([2, 4, 6]), return_sequences=True)
    return r.pick([layer, layer, layers.Bidirectional(layer)])


def _einsum(r, x):
    width, size = r.width(), x.shape[1]
    makers = [
        lambda: layers.EinsumDense("btc,cd->btd", (size, width), bias_axes="d"),
        lambda: layers.EinsumDense("btc,ts->bsc", (size, x.shape[2]), bias_axes="s"),
        lambda: layers.EinsumDense("btc,tcd->btd", (size, width), activation=r.activation()),
    ]
    return r.pick(makers)()


def _with_heads(r, x):
    return layers.EinsumDense("btc,cnd->btnd", (x.shape[1], 2, r.width()), bias_axes="nd")


def _distributed(r, x):
    return layers.TimeDistributed(layers.Dense(r.width(), r.activation()))


# Layers that change other axes too.


def _conv(r, x):
    conv = {3: layers.Conv1D, 4: layers.Conv2D}[x.ndim]
    size = r.pick([1, 2, 3]) if min(x.shape[1:-1]) >= 3 else 1
    strides = r.pick([1, 2])
    padding = r.pick(["valid", "valid", "same"])
    return conv(r.width(), size, padding=padding, strides=strides, **r.options())


def _transposed(r, x):
    conv = {3: layers.Conv1DTranspose, 4: layers.Conv2DTranspose}[x.ndim]
    padding, strides = r.pick(["valid", "same"]), r.pick([1, 2])
    return conv(r.width(), r.pick([2, 3]), padding=padding, strides=strides, **r.options())


def _spatial(r, x):
    suffix = f"{x.ndim - 2}D"
    makers = [
        lambda: getattr(layers, f"ZeroPadding{suffix}")(1),
        lambda: getattr(layers, f"UpSampling{suffix}")(2),
    ]
    if min(x.shape[1:-1]) >= 3:
        padding = r.pick(["valid", "same"])
        makers += [
            lambda: getattr(layers, f"MaxPooling{suffix}")(2, padding=padding),
            lambda: getattr(layers, f"AveragePooling{suffix}")(2, padding=padding),
            lambda: getattr(layers, f"AveragePooling{suffix}")(3, 1, padding=padding),
            lambda: getattr(layers, f"Cropping{suffix}")(1),
            lambda: getattr(layers, f"DepthwiseConv{suffix}")(2, strides=2, padding=padding),
        ]
    return r.pick(makers)()


def _permute(r, x):
    return layers.Permute(tuple((1 + r.rng.permutation(x.ndim - 1)).tolist()))


def _reshape(r, x):
    """Reshapes to random factors of the size, or merges axes."""
    size = int(np.prod(x.shape[1:]))
    first = r.pick([n for n in range(1, size + 1) if size % n == 0 and n <= 8])
    targets = [(first, -1), (size // first, first), (*x.shape[1:], 1)[-3:]]
    return layers.Reshape(r.pick([t for t in targets if -1 in t or np.prod(t) == size]))


def _to_vector(r, x):
    return layers.Flatten()


def _to_sequence(r, x):
    makers = [lambda: layers.RepeatVector(3)]
    makers += [lambda: layers.Reshape((-1, 2))] if x.shape[-1] % 2 == 0 else []
    return r.pick(makers)()


_IMAGES = [_conv_same] * 3 + [_depthwise_same, _separable_same]
_ANY = [_dense, _batch_norm, _batch_norm, _activation, _activation, _feature_norm, _quiet]
SAME_PLACES = {
    2: [_dense] * 4 + _ANY,
    3: _IMAGES[:4] + _ANY + [_recurrent, _einsum, _distributed],
    4: _IMAGES * 2 + _ANY,
    5: _ANY,
}
LAYERS = {
    2: [_to_sequence],
    3: [_conv, _conv, _transposed, _spatial, _spatial, _permute, _reshape, _to_vector, _with_heads],
    4: [_conv] * 4 + [_transposed, _spatial, _spatial, _spatial, _permute, _reshape, _to_vector],
    5: [_reshape],
}
