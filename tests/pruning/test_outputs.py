"""The units of a model's outputs stay, unless they are named."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from tensors import array

import kerasreg
from kerasreg import patterns
from kerasreg.callbacks import Pruning

REASON = "its units are outputs of the model: name it in `include` to prune it"


def dense(**kwargs):
    return layers.Dense(10, name="logits", **kwargs)


def hidden():
    return layers.Dense(8, "relu", name="hidden")


def sequential(*last):
    return keras.Sequential([keras.Input((4,)), hidden(), *last])


def functional(build):
    x = keras.Input((4,))
    return keras.Model(x, build(hidden()(x)))


def recurrent(wrap=lambda layer: layer):
    x = keras.Input((5, 4))
    y = layers.LSTM(8, return_sequences=True, name="hidden")(x)
    return keras.Model(x, wrap(layers.GRU(10, name="logits"))(y))


def convolution():
    x = keras.Input((6, 6, 3))
    y = layers.Conv2D(8, 3, name="hidden")(x)
    y = layers.SeparableConv2D(10, 3, name="logits")(y)
    return keras.Model(x, layers.GlobalAveragePooling2D()(y))


def depthwise():
    x = keras.Input((6, 6, 3))
    y = layers.Conv2D(8, 3, name="hidden")(x)
    y = layers.BatchNormalization()(layers.Conv2D(10, 1, name="logits")(y))
    y = layers.DepthwiseConv2D(3, name="depthwise_logits")(y)
    return keras.Model(x, layers.GlobalAveragePooling2D()(y))


def attention():
    x = keras.Input((5, 4))
    y = layers.Dense(8, name="hidden")(x)
    return keras.Model(x, layers.MultiHeadAttention(2, 3, name="logits")(y, y))


def residual():
    x = keras.Input((10,))
    y = dense()(layers.Dense(8, name="hidden")(x))
    return keras.Model(x, ops.relu(x + y))


def several():
    x = keras.Input((4,))
    y = hidden()(x)
    two = {"a": layers.Dense(3, name="logits_a")(y), "b": layers.Dense(2, name="logits_b")(y)}
    return keras.Model(x, two)


class Outer(keras.Model):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)


def nested(outer):
    inner = sequential(dense())
    model = outer(inner)
    model(np.zeros((1, 4)))
    return model


MODELS = {
    "plain": lambda: sequential(dense()),
    "softmax inside": lambda: sequential(dense(activation="softmax")),
    "softmax behind": lambda: sequential(dense(), layers.Softmax()),
    "activation and reshape": lambda: sequential(
        dense(), layers.Activation("tanh"), layers.Reshape((2, 5))
    ),
    "normalized": lambda: sequential(dense(), layers.BatchNormalization(), layers.PReLU()),
    "operations": lambda: functional(lambda y: ops.softmax(dense()(y)) * 2),
    "several": several,
    "nested": lambda: nested(lambda inner: keras.Sequential([keras.Input((4,)), inner])),
    "subclassed outside": lambda: nested(Outer),
    "recurrent": recurrent,
    "bidirectional": lambda: recurrent(layers.Bidirectional),
    "time distributed": lambda: keras.Sequential(
        [keras.Input((5, 4)), layers.Dense(8, name="hidden"), layers.TimeDistributed(dense())]
    ),
    "convolution": convolution,
    "depthwise": depthwise,
    "attention": attention,
    "residual": residual,
}


@pytest.mark.parametrize("name", MODELS)
def test_output_units_of_the_model_are_not_pruned(name):
    model = MODELS[name]()
    plans = [
        Pruning(0.5, "unit", scope=scope).plan(model, steps=40, print_fn=lambda text: None)
        for scope in ("layer", "global")
    ]
    before = {v.path: array(v).copy() for v in model.weights}
    plans.append(kerasreg.prune(model, 0.5, pattern="unit", scope="global"))
    left = "attention_output" if name == "attention" else "logits"
    parts = ("pointwise_kernel",) if name == "convolution" else ("kernel",)
    for plan in plans:
        assert any("hidden" in path for path in plan.variables)
        skipped = [path for path, why in plan.skipped.items() if why == REASON]
        assert all(left in path for path in skipped)
        kernels = [v.path for v in model.weights if left in v.path and v.name.endswith(parts)]
        assert set(kernels) <= set(skipped)
        for path in kernels:
            np.testing.assert_array_equal(array(_of(model, path)), before[path])
    # Named, they are pruned.
    row = kerasreg.prune(model, 0.5, pattern="unit", include=skipped[0]).variables
    assert skipped[0] in row


def _of(model, path):
    return next(v for v in model.weights if v.path == path)


def test_output_units_are_not_pruned_by_other_patterns_of_units():
    for pattern in (patterns.Group(-1), patterns.Group((1,)), "unit"):
        plan = kerasreg.prune(sequential(dense()), 0.5, pattern=pattern)
        assert plan.skipped["sequential/logits/kernel"] == REASON
        keras.backend.clear_session()
    for pattern in ("input", patterns.Group(0), "unstructured", "2:4"):
        plan = kerasreg.prune(sequential(dense()), 0.5, pattern=pattern)
        assert "sequential/logits/kernel" in plan.variables
        keras.backend.clear_session()
    assert kerasreg.prune(sequential(dense()), 0.5, pattern="coupled").skipped
    small, _ = kerasreg.shrink_to(sequential(dense()), params=0.5)
    assert small.output_shape == (None, 10)


def test_a_model_of_one_layer_raises():
    model = keras.Sequential([keras.Input((4,)), dense()])
    with pytest.raises(ValueError, match=r"finds nothing to prune[\s\S]*outputs of"):
        kerasreg.prune(model, 0.5, pattern="unit")


def test_the_plan_says_where_output_units_are_unknown():
    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.first, self.second = hidden(), dense()

        def call(self, x):
            return self.second(self.first(x))

    model = Own()
    model(np.zeros((1, 4)))
    plan = kerasreg.prune(model, 0.5, pattern="unit")
    remark = plan["own/logits/kernel"].remark
    assert "because of 'own' it is unknown which units are outputs" in remark
