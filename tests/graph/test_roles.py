"""The groups of every kernel of Keras: which they are, and that their zeros do what they say."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from zeroing import data, labels_of, outputs, randomize, zero

from kerasreg._graph.roles import model_roles
from kerasreg._graph.variables import all_layers


def by(*axes, units=None):
    """One group per combination of indices of `axes`, index modulo `units` where gates repeat."""

    def labels(shape):
        sizes = [shape[axis] for axis in axes]
        index = np.arange(np.prod(sizes)).reshape(sizes)
        order = np.argsort([axis % len(shape) for axis in axes])
        index = index.transpose(order)
        kept = [axis % len(shape) for axis in axes]
        view = [size if axis in kept else 1 for axis, size in enumerate(shape)]
        index = np.broadcast_to(index.reshape(view), shape)
        return index if units is None else index % units

    return labels


BIAS = {"bias": {"output": by(0)}}
DENSE = {"kernel": {"output": by(1), "input": by(0)}, **BIAS}


def conv(rank):
    return {"kernel": {"output": by(rank + 1), "input": by(rank)}, **BIAS}


def transposed(rank):
    return {"kernel": {"output": by(rank), "input": by(rank + 1)}, **BIAS}


def depthwise(rank):
    return {"kernel": {"output": by(rank, rank + 1), "input": by(rank)}, **BIAS}


def separable(rank):
    return {
        "depthwise_kernel": {"output": by(rank, rank + 1), "input": by(rank)},
        "pointwise_kernel": {"output": by(rank + 1), "input": by(rank)},
        **BIAS,
    }


def gated(rank=0, bias=0):
    return {
        "kernel": {"output": by(rank + 1, units=3), "input": by(rank)},
        "recurrent_kernel": {"output": by(rank + 1, units=3), "input": by(rank)},
        "bias": {"output": by(bias, units=3)},
    }


NORM = {"gamma": {"output": by(0)}, "beta": {"output": by(0)}}

#: name: (layer, input shape, {variable: {role: labels}}, axis of the channels in the output)
TABLE = {
    "Dense": (layers.Dense(4), (3,), DENSE),
    "Dense on a sequence": (layers.Dense(4), (5, 3), DENSE),
    "Conv1D": (layers.Conv1D(4, 2), (5, 3), conv(1)),
    "Conv2D": (layers.Conv2D(4, 2, padding="same"), (4, 4, 3), conv(2)),
    "Conv3D": (layers.Conv3D(4, 2), (3, 3, 3, 3), conv(3)),
    "Conv2D in groups": (
        layers.Conv2D(4, 2, groups=2),
        (3, 3, 6),
        {"kernel": {"output": by(3)}, **BIAS},
    ),
    "DepthwiseConv1D": (layers.DepthwiseConv1D(2, depth_multiplier=2), (5, 3), depthwise(1)),
    "DepthwiseConv2D": (layers.DepthwiseConv2D(2, depth_multiplier=2), (4, 4, 3), depthwise(2)),
    "SeparableConv1D": (layers.SeparableConv1D(4, 2, depth_multiplier=2), (5, 3), separable(1)),
    "SeparableConv2D": (layers.SeparableConv2D(4, 2, depth_multiplier=2), (4, 4, 3), separable(2)),
    "Conv1DTranspose": (layers.Conv1DTranspose(4, 2), (5, 3), transposed(1)),
    "Conv2DTranspose": (layers.Conv2DTranspose(4, 2), (4, 4, 3), transposed(2)),
    "Conv3DTranspose": (layers.Conv3DTranspose(4, 2), (3, 3, 3, 3), transposed(3)),
    "EinsumDense": (layers.EinsumDense("ab,bc->ac", output_shape=4, bias_axes="c"), (3,), DENSE),
    "EinsumDense ...": (
        layers.EinsumDense("...x,xy->...y", output_shape=4, bias_axes="y"),
        (2, 3),
        DENSE,
    ),
    "EinsumDense to heads": (
        layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de"),
        (2, 4),
        {
            "kernel": {"output": by(1, 2), "input": by(0)},
            "bias": {"output": by(0, 1)},
        },
    ),
    "EinsumDense from heads": (
        layers.EinsumDense("abde,dec->abc", output_shape=(None, 4), bias_axes="c"),
        (3, 2, 3),
        {"kernel": {"output": by(2), "input": by(0, 1)}, **BIAS},
    ),
    "EinsumDense kernel transposed": (
        layers.EinsumDense("ab,cb->ac", output_shape=4, bias_axes="c"),
        (3,),
        {"kernel": {"output": by(0), "input": by(1)}, **BIAS},
    ),
    "EinsumDense per channel": (
        layers.EinsumDense("abc,bcd->abd", output_shape=(2, 3), bias_axes="bd"),
        (2, 4),
        {
            "kernel": {"output": by(0, 2), "input": by(0, 1)},
            "bias": {"output": by(0, 1)},
        },
    ),
    "SimpleRNN": (layers.SimpleRNN(3), (2, 2), gated()),
    "GRU": (layers.GRU(3), (2, 2), gated(bias=1)),
    "GRU reset before": (layers.GRU(3, reset_after=False), (2, 2), gated()),
    "LSTM": (layers.LSTM(3), (2, 2), gated()),
    "LSTM sequences": (layers.LSTM(3, return_sequences=True), (2, 2), gated()),
    "ConvLSTM1D": (layers.ConvLSTM1D(3, 2), (2, 4, 2), gated(rank=1)),
    "ConvLSTM2D": (layers.ConvLSTM2D(3, 2, padding="same"), (2, 3, 3, 2), gated(rank=2)),
    "TimeDistributed": (layers.TimeDistributed(layers.Dense(4)), (2, 3), DENSE),
    "BatchNormalization": (layers.BatchNormalization(), (4,), NORM),
    "LayerNormalization": (layers.LayerNormalization(), (2, 4), NORM),
    "GroupNormalization": (layers.GroupNormalization(2), (3, 4), NORM),
    "RMSNormalization": (layers.RMSNormalization(), (4,), {"scale": {"output": by(0)}}),
    "LayerNormalization of two axes": (
        layers.LayerNormalization(axis=(1, 2)),
        (2, 4),
        {"gamma": {}, "beta": {}},
    ),
    "PReLU": (layers.PReLU(), (4,), {"alpha": {}}),
}
every_layer = pytest.mark.parametrize("name", TABLE)


def every_layer_with(role):
    names = [name for name, row in TABLE.items() if any(role in roles for roles in row[2].values())]
    return pytest.mark.parametrize("name", names)


def build(name):
    """`(model, {variable name: variable}, {variable name: {role: Groups}})`; no weight is zero."""
    layer, shape, _ = TABLE[name]
    layer = type(layer).from_config(layer.get_config())
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs))
    randomize(model)
    roles = model_roles(model)
    variables = {variable.name: variable for variable in model.trainable_variables}
    return model, variables, {key: roles[id(v)] for key, v in variables.items()}


@every_layer
def test_every_variable_has_its_roles_and_groups(name):
    _, variables, roles = build(name)
    expected = TABLE[name][2]
    assert set(variables) == set(expected)
    for key, variable in variables.items():
        assert set(roles[key]) == set(expected[key])
        for role, labels in expected[key].items():
            shape = tuple(variable.shape)
            np.testing.assert_array_equal(labels_of(roles[key][role], shape), labels(shape))


def channels(name, array):
    """A view `(batch, positions, channels)`: the channels are the axes that biases count."""
    inner = {"EinsumDense to heads": 2, "EinsumDense per channel": 2}.get(name, 1)
    count = np.prod(array.shape[-inner:])
    return array.reshape(array.shape[0], -1, count)


@every_layer_with("output")
def test_a_zero_output_group_is_a_constant_channel(name):
    model, variables, roles = build(name)
    keys = [key for key, of in roles.items() if "output" in of and key not in ("beta",)]
    if "depthwise_kernel" in keys:
        keys.remove("depthwise_kernel")  # its outputs are inside of the layer
    labels = {key: labels_of(roles[key]["output"], tuple(variables[key].shape)) for key in keys}
    weights = model.get_weights()
    shape = TABLE[name][1]
    count = channels(name, outputs(model, data(shape, 0))).shape[-1]
    assert {len(np.unique(each)) for each in labels.values()} == {count}
    for group in range(count):
        model.set_weights(weights)
        for key in keys:
            zero(variables[key], labels[key], group)
        y = channels(name, np.concatenate([outputs(model, data(shape, i)) for i in range(2)]))
        constant = (np.ptp(y, axis=0) == 0).all(axis=0)
        assert np.flatnonzero(constant).tolist() == [group]


@every_layer_with("input")
def test_a_zero_input_group_is_an_input_that_does_not_matter(name):
    model, variables, roles = build(name)
    keys = [key for key in ("kernel", "depthwise_kernel") if "input" in roles.get(key, {})]
    labels = labels_of(roles[keys[0]]["input"], tuple(variables[keys[0]].shape))
    weights = model.get_weights()
    x = data(TABLE[name][1], 0)
    inner = {"EinsumDense from heads": 2, "EinsumDense per channel": 2}.get(name, 1)
    count = np.prod(x.shape[-inner:])
    for group in range(len(np.unique(labels))):
        model.set_weights(weights)
        zero(variables[keys[0]], labels, group)
        before, ignored = outputs(model, x), []
        for channel in range(count):
            other = x.reshape(len(x), -1, count).copy()
            other[..., channel] += 1
            if np.array_equal(outputs(model, other.reshape(x.shape)), before):
                ignored.append(channel)
        assert ignored == [group]


def test_a_zero_depthwise_output_is_a_zero_pointwise_input():
    model, variables, roles = build("SeparableConv2D")
    x, weights = data((4, 4, 3), 0), model.get_weights()
    for group in range(6):
        results = []
        for key, role in (("depthwise_kernel", "output"), ("pointwise_kernel", "input")):
            model.set_weights(weights)
            shape = tuple(variables[key].shape)
            zero(variables[key], labels_of(roles[key][role], shape), group)
            results.append(outputs(model, x))
        np.testing.assert_allclose(*results, atol=1e-5)


@pytest.mark.parametrize("name", ["SimpleRNN", "GRU", "LSTM"])
def test_a_zero_input_of_the_recurrent_kernel_is_a_unit_without_readers(name):
    model, variables, roles = build(name)
    cell = next(layer for layer in all_layers(model) if hasattr(layer, "state_size") and layer.cell)
    x = data((1, 2), 0)
    states = np.zeros((4, 3), "float32")
    labels = labels_of(roles["recurrent_kernel"]["input"], (3, variables["bias"].shape[-1]))
    for unit in range(3):
        randomize(model)
        zero(variables["recurrent_kernel"], labels, unit)
        moved = states.copy()
        moved[:, unit] = 1
        rest = [states] if name == "LSTM" else []
        before = np.asarray(ops.convert_to_numpy(cell(x, initial_state=[states, *rest])))
        after = np.asarray(ops.convert_to_numpy(cell(x, initial_state=[moved, *rest])))
        others = [other for other in range(3) if other != unit]
        np.testing.assert_array_equal(after[:, others], before[:, others])


def test_bidirectional_has_the_roles_of_both_directions():
    model = keras.Sequential([keras.Input((2, 2)), layers.Bidirectional(layers.LSTM(3))])
    roles = model_roles(model)
    randomize(model)
    assert len(model.weights) == 6
    for direction, start in (("forward", 0), ("backward", 3)):
        weights = model.get_weights()
        for variable in model.weights:
            if direction in variable.path:
                labels = labels_of(roles[id(variable)]["output"], tuple(variable.shape))
                np.testing.assert_array_equal(labels.ravel()[:3], [0, 1, 2])
                zero(variable, labels, 1)
        y = outputs(model, data((2, 2), 0))
        assert np.flatnonzero(np.ptp(y, axis=0) == 0).tolist() == [start + 1]
        model.set_weights(weights)


def test_unknown_layers_have_no_roles():
    class Scale(layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(shape[-1],), name="scale")
            self.kernel = self.add_weight(shape=(shape[-1], 4), name="kernel")

        def call(self, x):
            return ops.matmul(x * self.scale, self.kernel)

    model = keras.Sequential([keras.Input((3,)), Scale()])
    assert list(model_roles(model).values()) == [{}, {}]
