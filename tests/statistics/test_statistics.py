"""One row per weight variable of any model, and their total."""

import math

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg
from kerasreg._statistics.statistics import nonfinite_paths


def dense(w, **kwargs):
    """A model of one kernel."""
    w = np.asarray(w, "float32")
    layer = layers.Dense(w.shape[1], use_bias=False, name="dense", **kwargs)
    model = keras.Sequential([keras.Input(w.shape[:1]), layer])
    model.set_weights([w])
    return model


def only(model):
    """The statistics of a model's first variable."""
    return next(iter(kerasreg.statistics(model)))


class Scale(layers.Layer):
    """A layer that kerasreg does not know, with a matrix, a scalar and nothing."""

    def build(self, shape):
        self.matrix = self.add_weight(shape=(3, 2), initializer="zeros", name="matrix")
        self.factor = self.add_weight(shape=(), initializer="ones", name="factor")
        self.nothing = self.add_weight(shape=(0, 4), name="nothing")

    def call(self, x):
        return self.factor * x


def test_a_variable_by_its_path():
    row = kerasreg.statistics(dense([[3.0, 0.0], [-4.0, -0.0]]))["sequential/dense/kernel"]
    assert (row.shape, row.size, row.zeros, row.sparsity) == ((2, 2), 4, 2, 0.5)
    assert (row.l1, row.l2, row.max) == (7, 5, 4)
    assert (row.units, row.dead_units, row.inputs, row.dead_inputs) == (2, 1, 2, 0)


def test_a_variable_by_its_position_or_the_end_of_its_path():
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(3, name="first"), layers.Dense(1, name="last")],
        name="net",
    )
    statistics = kerasreg.statistics(model)
    rows = list(statistics)
    assert statistics[0] is statistics["first/kernel"] is statistics["net/first/kernel"] is rows[0]
    assert statistics[-1] is statistics["last/bias"] is rows[-1]
    plan = kerasreg.prune(model, 0.5, min_units=0)
    assert plan["last/kernel"] is plan[1] is plan["net/last/kernel"]
    with pytest.raises(KeyError, match=r"'kernel' is the end of 2 paths.*net/first/kernel.*last"):
        statistics["kernel"]
    with pytest.raises(KeyError, match=r"'frist/kernel' is not one of the paths.*net/first/kernel"):
        statistics["frist/kernel"]
    with pytest.raises(KeyError, match=r"'rst/kernel' is not one of the paths"):
        plan["rst/kernel"]
    with pytest.raises(IndexError):
        statistics[4]


def test_total():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3), layers.Dense(1)])
    kernel = np.float32([[1, 0, 2], [0, 0, -2]])
    model.set_weights([kernel, np.zeros(3), np.eye(3)[:, :1], np.array([-5.0])])
    total = kerasreg.statistics(model).total
    assert (total.path, total.size, total.zeros, total.nonfinite) == ("sequential", 13, 8, 0)
    assert (total.l1, total.l2, total.max) == (11, pytest.approx(35**0.5), 5)
    assert (total.units, total.dead_units, total.inputs, total.dead_inputs) == (4, 1, 5, 2)


def test_the_total_of_a_nan_is_nan():
    total = kerasreg.statistics(dense([[np.nan, 1.0]])).total
    assert math.isnan(total.l1)
    assert math.isnan(total.l2)
    assert math.isnan(total.max)


def test_a_mirrored_variable():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("a mode of TensorFlow")
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = dense([[1.0, 0.0]])
    assert only(model).zeros == 1


PENALTIES = {
    "Keras' L1": keras.regularizers.L1(0.3),
    "Keras' L2": keras.regularizers.L2(0.3),
    "Keras' L1L2": keras.regularizers.L1L2(0.1, 0.2),
    "Keras' OrthogonalRegularizer": keras.regularizers.OrthogonalRegularizer(0.1),
    "L1": kerasreg.regularizers.L1(0.3),
    "L2": kerasreg.regularizers.L2(0.3),
    "L1L2": kerasreg.regularizers.L1L2(0.1, 0.2),
    "GroupLasso": kerasreg.regularizers.GroupLasso(0.1),
}


@pytest.mark.parametrize("regularizer", PENALTIES.values(), ids=PENALTIES)
def test_the_penalty_is_that_of_the_loss(regularizer):
    model = dense(np.random.default_rng(0).normal(size=(5, 4)), kernel_regularizer=regularizer)
    loss = float(keras.ops.convert_to_numpy(sum(model.losses)))
    assert only(model).regularized
    assert only(model).penalty == pytest.approx(loss, rel=1e-6)


def test_a_subclass_of_l1_uses_its_own_penalty():
    class Twice(keras.regularizers.L1):
        def __call__(self, x):
            return 2 * super().__call__(x)

    assert only(dense([[1.0, -2.0]], kernel_regularizer=Twice(1.0))).penalty == 6


def test_frozen_weights_have_no_penalty():
    model = dense([[1.0]], kernel_regularizer="l1")
    model.trainable = False
    assert not model.losses
    assert (only(model).penalty, only(model).regularized) == (0, False)


# Name of a variable with its last index at zero, its units and its inputs.
UNITS = {
    "Dense": (layers.Dense(3), (4,), "kernel", 3, 4),
    "Embedding": (layers.Embedding(5, 3), (2,), "embeddings", 3, 5),
    "Conv1D": (layers.Conv1D(3, 2), (4, 2), "kernel", 3, 2),
    "Conv2D": (layers.Conv2D(3, 2), (4, 4, 2), "kernel", 3, 2),
    "Conv2D in groups": (layers.Conv2D(4, 2, groups=2), (4, 4, 2), "kernel", 4, None),
    "SeparableConv2D": (layers.SeparableConv2D(3, 2), (4, 4, 2), "pointwise_kernel", 3, 2),
    "SimpleRNN": (layers.SimpleRNN(3), (4, 2), "kernel", 3, 2),
    "Bidirectional": (layers.Bidirectional(layers.SimpleRNN(3)), (4, 2), "kernel", 3, 2),
    "TimeDistributed": (layers.TimeDistributed(layers.Dense(3)), (4, 2), "kernel", 3, 2),
    "EinsumDense": (layers.EinsumDense("abc,cd->abd", (None, 3)), (4, 2), "kernel", 3, 2),
}


@pytest.mark.parametrize(("layer", "shape", "name", "units", "inputs"), UNITS.values(), ids=UNITS)
def test_units_of_layers(layer, shape, name, units, inputs):
    layer = layer.from_config(layer.get_config())
    model = keras.Sequential([keras.Input(shape), layer])
    kernel = next(v for v in model.weights if v.name == name)
    for variable in model.weights:
        w = np.ones(variable.shape)
        if variable.name != "depthwise_kernel":
            w[..., -1] = 0
        variable.assign(w)
    row = kerasreg.statistics(model)[kernel.path]
    assert (row.units, row.dead_units, row.inputs) == (units, 1, inputs)


def test_a_depthwise_kernel_has_a_unit_per_output_channel():
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), layers.DepthwiseConv2D(2, depth_multiplier=2)]
    )
    w = np.ones((2, 2, 3, 2))
    w[:, :, 0, 1] = 0
    model.weights[0].assign(w)
    assert (only(model).units, only(model).dead_units, only(model).dead_inputs) == (6, 1, 0)


@pytest.mark.parametrize(("layer", "gates"), [(layers.LSTM, 4), (layers.GRU, 3)])
def test_a_recurrent_unit_is_dead_when_all_of_its_gates_are(layer, gates):
    model = keras.Sequential([keras.Input((4, 2)), layer(5)])
    for variable in model.weights:
        w = np.ones(variable.shape)
        w[..., 0::5] = 0
        w[..., 1] = 0
        variable.assign(w)
    statistics = kerasreg.statistics(model)
    rows = {row.path.split("/")[-1]: row for row in statistics}
    assert (rows["kernel"].units, rows["kernel"].dead_units) == (5, 1)
    assert rows["kernel"].left() == [1, 2, 3, 4]
    assert rows["kernel"].shape == (2, 5 * gates)
    # Both kernels compute the same units.
    assert (rows["recurrent_kernel"].units, statistics.total.dead_units) == (None, 1)
    model.layers[0].cell.recurrent_kernel.assign(np.ones((5, 5 * gates)))
    assert kerasreg.statistics(model).total.dead_units == 0


BIASES = {
    "GRU": (layers.GRU(3), (4, 2)),
    "attention": (layers.MultiHeadAttention(2, 3), (4, 5)),
}


@pytest.mark.parametrize(("layer", "shape"), BIASES.values(), ids=BIASES)
def test_no_bias_has_dead_units(layer, shape):
    x = keras.Input(shape)
    y = layer(x, x) if isinstance(layer, layers.MultiHeadAttention) else layer(x)
    statistics = kerasreg.statistics(keras.Model(x, y), include="bias")
    assert statistics.total.zeros == statistics.total.size
    assert {row.dead_units for row in statistics} == {None}


def test_batch_norm_has_no_units_and_its_statistics_count():
    model = keras.Sequential([keras.Input((3,)), layers.BatchNormalization()])
    statistics = kerasreg.statistics(model)
    assert [row.path.split("/")[-1] for row in statistics] == [
        *("gamma", "beta", "moving_mean", "moving_variance")
    ]
    assert (statistics.total.units, statistics.total.zeros) == (None, 6)


def test_an_unknown_layer_has_unknown_units():
    matrix, factor, nothing = kerasreg.statistics(keras.Sequential([keras.Input((1,)), Scale()]))
    assert (matrix.zeros, matrix.units, matrix.dead_units) == (6, None, None)
    assert (factor.shape, factor.size, factor.l1) == ((), 1, 1)
    assert (nothing.size, nothing.sparsity, nothing.max) == (0, 0, 0)


def test_random_states_and_metrics_are_not_weights():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1), layers.Dropout(0.5)])
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
    assert [row.path.split("/")[-1] for row in kerasreg.statistics(model)] == ["kernel", "bias"]


def test_a_nested_and_shared_layer_counts_once():
    block = keras.Sequential([keras.Input((2,)), layers.Dense(2)], name="block")
    x = keras.Input((2,))
    statistics = kerasreg.statistics(keras.Model(x, block(block(x))))
    assert list(statistics.variables) == ["block/dense/kernel", "block/dense/bias"]


def test_a_subclassed_model():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.scale = layers.Dense(2), Scale()

        def call(self, x):
            return self.scale(self.hidden(x))

    model = Net()
    model(np.ones((1, 3)))
    assert kerasreg.statistics(model).total.size == 15


def test_equal_paths_are_numbered():
    x = keras.Input((2,))
    blocks = [keras.Sequential([layers.Dense(1, name="dense")], name="block") for _ in range(2)]
    first, second = (block(x) for block in blocks)
    blocks[1].name = "other"
    model = keras.Model(x, [first, second])
    paths = [f"block/dense/{name}" for name in ("kernel", "bias", "kernel_2", "bias_2")]
    assert list(kerasreg.statistics(model).variables) == paths


def test_include():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3), layers.Dense(1)])
    assert kerasreg.statistics(model, include="dense_1/.*kernel").total.size == 3


def test_include_that_matches_nothing():
    with pytest.raises(ValueError, match=r"Received: include='conv'.*sequential/dense/kernel"):
        kerasreg.statistics(dense([[1.0]]), include="conv")


def test_an_unbuilt_model():
    with pytest.raises(ValueError, match=r"needs a built model.*keras.Input"):
        kerasreg.statistics(keras.Sequential([layers.Dense(1)]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonfinite_paths(bad):
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1), layers.Dense(1)])
    assert nonfinite_paths(model.weights) == []
    model.layers[1].kernel.assign([[bad]])
    assert nonfinite_paths(model.weights) == ["sequential/dense_1/kernel"]


def test_large_finite_weights_are_finite():
    assert nonfinite_paths(dense(np.full((4, 4), 3e38)).weights) == []


def test_the_factors_of_lora_have_no_units():
    layer = keras.layers.Dense(16)
    model = keras.Sequential([keras.Input((8,)), layer])
    layer.enable_lora(2)
    rows = {row.path.split("/")[-1]: row for row in kerasreg.statistics(model)}
    assert rows["lora_kernel_b"].units is None
    assert rows["kernel"].units == 16
