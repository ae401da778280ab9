"""Slices, pads and moves along any axis, with known and undefined sizes."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops
from precision import ROUNDING
from shrinkable import kill, randomize

import kerasreg

_NONE = [0, 0]

#: `(name, function of a sequence (batch, steps, 8), whether its dead features can go)`
CUTS = [
    ("from", lambda h: h[:, 4:], True),
    ("to the third last", lambda h: h[:, :-3], True),
    ("between negative ones", lambda h: h[:, -5:-1], True),
    ("one", lambda h: h[:, 3], True),
    ("the last", lambda h: h[:, -1], True),
    ("far", lambda h: h[:, 60], True),
    ("steps", lambda h: h[:, 1::2], True),
    ("backwards", lambda h: h[:, ::-1], True),
    ("features", lambda h: h[..., 2:], True),
    ("features backwards", lambda h: h[..., ::-1], True),
    ("every other feature", lambda h: h[..., ::2], False),
    ("new axis", lambda h: h[:, None, 2:], True),
    ("take", lambda h: ops.take(h, [1, -1], axis=1), True),
    ("take features", lambda h: ops.take(h, [7, 1, 3], axis=-1), False),
    ("take by a tensor", lambda h: ops.take(h, ops.argmax(h[0, :2, 0:1], axis=0), axis=1), False),
    ("roll", lambda h: ops.roll(h, 2, axis=1), True),
    ("roll features", lambda h: ops.roll(h, 3, axis=-1), False),
    ("flip", lambda h: ops.flip(h, axis=(1, 2)), True),
    ("crop", lambda h: layers.Cropping1D((3, 2))(h), True),
    ("tile", lambda h: ops.tile(h, [1, 2, 1]), True),
    ("tile features", lambda h: ops.tile(h, [1, 1, 2]), True),
    ("repeat", lambda h: ops.repeat(h, 2, axis=1), True),
    ("repeat features unevenly", lambda h: ops.repeat(h, list(range(1, 9)), axis=-1), False),
    ("zeros around", lambda h: ops.pad(h, [_NONE, [2, 0], _NONE]), False),
    ("borders around", lambda h: ops.pad(h, [_NONE, [2, 0], _NONE], mode="reflect"), True),
    ("stack", lambda h: ops.stack([h, h], axis=2), True),
    ("transposed", lambda h: ops.transpose(h, (1, 0, 2))[0], True),
    ("sum", lambda h: ops.sum(h[:, :5], axis=1), False),
    ("norm of features", lambda h: h / ops.norm(h, axis=-1, keepdims=True), False),
    ("split", lambda h: ops.concatenate(ops.split(h, [2, 5], axis=1)[::-1], axis=1), True),
]

BACKEND = keras.backend.backend()
#: Operations that Keras does not support on these backends.
REFUSED = {
    "jax": ("repeat features unevenly", "norm of features"),
    "torch": ("backwards", "features backwards", "repeat features unevenly"),
}


def _model(cut, steps):
    x = keras.Input((steps, 5))
    y = cut(layers.Dense(8, name="a")(x))
    model = randomize(keras.Model(x, layers.Dense(3, name="b")(y)))
    kill(model, "a", 4, bias=False)
    return model


def _same(model, small, inputs):
    for each in inputs:
        old, new = (ops.convert_to_numpy(m(each, training=False)) for m in (model, small))
        np.testing.assert_allclose(new, old, rtol=0, atol=ROUNDING * np.abs(old).max())


@pytest.mark.parametrize("steps", [None, 70])
def test_shrink_removes_dead_features_before_slices_or_reports_the_reason(widest, steps):
    rng = np.random.default_rng(3)
    for name, cut, can_go in CUTS:
        if name in REFUSED.get(BACKEND, ()):
            continue
        model = _model(cut, steps)
        small, report = kerasreg.shrink(model)
        sizes = (70,) if steps else (61, 70)
        _same(model, small, [rng.normal(size=(3, size, 5)) for size in sizes])
        left = small.get_layer("a").units
        if can_go:
            assert left == 4, (name, report.pinned)
        elif left == 8:
            # Some constants cannot be moved into a bias; the report has the reason.
            reasons = " ".join(report.pinned)
            assert re.search("rearranges|removes|needs|moves|constants", reasons), (name, reasons)
        groups = kerasreg.coupled_groups(model)
        assert groups or groups.pinned, name


def _images(cut):
    x = keras.Input((None, None, 3))
    y = layers.Conv2D(8, 3, activation="relu", name="a")(x)
    model = randomize(keras.Model(x, layers.Conv2D(4, 3, padding="same")(cut(y))))
    kill(model, "a", 4)
    return model


def test_dead_filters_before_crops_of_undefined_sizes_are_removed(widest):
    cuts = [
        lambda y: layers.Cropping2D(((4, 3), (2, 5)))(y),
        lambda y: y[:, 4:-4, 3:-2],
        lambda y: y[:, -12:, :10, 2:],
        lambda y: ops.pad(y, [_NONE, [1, 1], [2, 0], _NONE]),
        lambda y: y[:, ::2, ::3],
    ]
    rng = np.random.default_rng(0)
    for cut in cuts:
        model = _images(cut)
        small, _ = kerasreg.shrink(model)
        assert small.get_layer("a").filters == 4
        _same(model, small, [rng.normal(size=(2, 17, 23, 3))])


def _by_hand(parts, heads, steps):
    """Attention whose queries, keys and values come from one kernel."""
    x = keras.Input((steps, 5))
    y = layers.Reshape((-1, 3, heads, 4))(layers.Dense(3 * heads * 4, name="qkv")(x))
    query, key, value = parts(ops.transpose(y, (2, 0, 3, 1, 4)))
    scores = ops.softmax(ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))))
    y = ops.transpose(ops.matmul(scores, value), (0, 2, 1, 3))
    y = layers.Dense(6, "relu", name="a")(layers.Reshape((-1, heads * 4))(y))
    model = randomize(keras.Model(x, layers.Dense(2)(y)))
    kill(model, "a", 3)
    return model


def test_units_after_attention_with_one_kernel_are_removed(widest):
    rng = np.random.default_rng(0)
    splits = [
        lambda y: (y[0], y[1], y[2]),
        lambda y: ops.unstack(y, 3, axis=0),
        lambda y: [ops.squeeze(each, 0) for each in ops.split(y, 3, axis=0)],
    ]
    for parts in splits:
        for steps in (6, None):
            model = _by_hand(parts, 2, steps)
            small, _ = kerasreg.shrink(model)
            assert small.get_layer("a").units == 3
            _same(model, small, [rng.normal(size=(2, 6, 5))])
            assert "a" in [group.name for group in kerasreg.coupled_groups(model)]


def test_coupled_pruning_and_shrink_to_follow_slices(widest):
    model = _by_hand(lambda y: (y[0], y[1], y[2]), 2, None)
    kerasreg.prune(model, 0.5, pattern="coupled", include="a")
    small, _ = kerasreg.shrink_to(model, params=0.9, include="a", input_shape=(6, 5))
    assert small.get_layer("a").units <= 3


def _gate(name):
    x = keras.Input((6,))
    y = layers.Dense(8, name="a")(x)
    makers = {
        "clip": lambda: ops.clip(y, -1.0, np.linspace(0, 1, 8).tolist()),
        "rescaling": lambda: layers.Rescaling([1.0] * 4 + [2.0] * 4, offset=[0.5] * 8)(y),
        "add": lambda: ops.add(y, np.ones(8)),
        "where": lambda: ops.where(y > 0, y, np.ones(8, "float32")),
        "sparsemax": lambda: layers.Activation("sparsemax")(y),
        "noise": lambda: layers.Dropout(0.5, noise_shape=(None, 8))(y),
    }
    model = randomize(keras.Model(x, layers.Dense(3)(makers[name]())))
    kill(model, "a", 4, bias=False)
    return model


@pytest.mark.parametrize(("name", "reason"), [
    ("clip", "`x_max` of 'clip.*' has a fixed size along the axis"),
    ("rescaling", "`scale` of 'rescaling.*' has a fixed size along the axis"),
    ("add", "'add.*' combines the units with a tensor that cannot shrink"),
    ("where", "'where.*' combines the units with a tensor that cannot shrink"),
    ("sparsemax", "'activation.*' combines units across the axis"),
    ("noise", "`noise_shape` of 'dropout.*' has a fixed size along the axis"),
])  # fmt: skip
def test_units_that_an_operation_keeps_are_reported(widest, name, reason):
    if name == "clip" and BACKEND != "tensorflow":
        pytest.skip("`ops.clip` accepts lists on TensorFlow only")
    model = _gate(name)
    small, report = kerasreg.shrink(model)
    assert small.get_layer("a").units == 8
    assert re.search(reason, " ".join(report.pinned)), report.pinned
    _same(model, small, [np.random.default_rng(0).normal(size=(4, 6))])


@pytest.mark.parametrize("activation", ["sparsemax", "softmax", "log_softmax"])
def test_units_of_an_activation_over_all_of_them_stay(activation):
    x = keras.Input((6,))
    model = randomize(keras.Model(x, layers.Dense(3)(layers.Dense(8, activation, name="a")(x))))
    kill(model, "a", 4, bias=False)
    small, report = kerasreg.shrink(model)
    assert small.get_layer("a").units == 8
    reason = "combines units across the axis, so they cannot be removed one by one"
    assert f"the activation of 'a' {reason}" in report.pinned
