"""Smaller models keep the state of the optimizer."""

import keras
import numpy as np
import pytest
from watched import PLAIN

from kerasreg._shrinking.training.reduce import silent_labels, without

OPTIMIZERS = keras.optimizers
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 8, 4, 4, 2)).astype("float32")
Y = rng.normal(size=(60, 8, 3)).astype("float32")

ELEMENTWISE = {
    "SGD": lambda: OPTIMIZERS.SGD(0.01, momentum=0.9, nesterov=True),
    "Adam": lambda: OPTIMIZERS.Adam(0.01, amsgrad=True),
    "AdamW": lambda: OPTIMIZERS.AdamW(0.01),
    "Adamax": lambda: OPTIMIZERS.Adamax(0.01),
    "Nadam": lambda: OPTIMIZERS.Nadam(0.01),
    "Adagrad": lambda: OPTIMIZERS.Adagrad(0.05),
    "Adadelta": lambda: OPTIMIZERS.Adadelta(1.0),
    "RMSprop": lambda: OPTIMIZERS.RMSprop(0.003, momentum=0.5, centered=True),
    "Lion": lambda: OPTIMIZERS.Lion(0.003),
    "Ftrl": lambda: OPTIMIZERS.Ftrl(0.05),
}
# Their updates use norms, to which units of zeros do not contribute.
OF_NORMS = {
    "Lamb": lambda: OPTIMIZERS.Lamb(0.01),
    "global_clipnorm": lambda: OPTIMIZERS.Adam(0.01, global_clipnorm=0.1),
}
WRAPPED = {
    "averages and accumulation": lambda: OPTIMIZERS.Adam(
        0.01, use_ema=True, gradient_accumulation_steps=3
    ),
    "loss scale": lambda: OPTIMIZERS.LossScaleOptimizer(
        OPTIMIZERS.Adam(0.01), dynamic_growth_steps=7
    ),
    "schedule": lambda: OPTIMIZERS.Adam(OPTIMIZERS.schedules.ExponentialDecay(0.01, 10, 0.9)),
    "function": lambda: OPTIMIZERS.Adam(lambda: 0.01),
}


def net(optimizer):
    """Returns a network with two residual channels and two hidden units of zero weights."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(6, 3, padding="same", use_bias=False, name="a")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU()(x)
    y = keras.layers.Conv2D(6, 3, padding="same", name="b", activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([x, y]))
    x = keras.layers.Dense(7, activation="tanh", name="c")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="d")(x))
    zeros = [("a", -1, [1, 4]), ("b", -1, [1, 4]), ("b", -2, [1, 4])]
    zeros += [("c", 0, [1, 4]), ("c", 1, [0, 5]), ("d", 0, [0, 5])]
    for name, axis, units in zeros:
        kernel = model.get_layer(name).kernel
        value = np.moveaxis(np.array(keras.ops.convert_to_numpy(kernel)), axis, 0)
        value[units] = 0
        kernel.assign(np.moveaxis(value, 0, axis))
    gamma = np.ones(6)
    gamma[[1, 4]] = 0
    model.get_layer("norm").gamma.assign(gamma)
    model.compile(optimizer, "mse", **PLAIN)
    return model


def train(model, steps):
    for step in steps:
        model.train_on_batch(X[step], Y[step])
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


def shrunk(model):
    _, labels = silent_labels(model, 1)
    return without(model, labels, {})


def weights(model, name):
    return keras.ops.convert_to_numpy(model.get_layer(name).kernel)


def require_same_training(make, after=10, steps=50):
    model = net(make())
    train(model, range(after))
    small = shrunk(model)
    assert small.get_layer("b").kernel.shape[-2:] == (4, 4)
    assert small.get_layer("c").units == 5
    train(model, range(after, after + steps))
    train(small, range(after, after + steps))
    left = np.delete(np.delete(weights(model, "b"), [1, 4], 2), [1, 4], 3)
    np.testing.assert_allclose(weights(small, "b"), left, atol=5e-6)
    outputs = [each.predict_on_batch(X[0]) for each in (model, small)]
    np.testing.assert_allclose(*outputs, atol=5e-6)
    return model, small


@pytest.mark.parametrize("name", [*ELEMENTWISE, *OF_NORMS, *WRAPPED])
def test_smaller_models_train_like_the_larger_model_with_zero_units(name):
    require_same_training((ELEMENTWISE | OF_NORMS | WRAPPED)[name])


def test_each_optimizer_of_a_multi_optimizer_keeps_its_state():
    def make():
        inner = OPTIMIZERS.Adam(0.01), OPTIMIZERS.SGD(0.01, momentum=0.9)
        return OPTIMIZERS.MultiOptimizer(lambda variable: inner["c/" in variable.path])

    model, small = require_same_training(make)
    pairs = zip(model.optimizer.optimizers, small.optimizer.optimizers, strict=True)
    for one, other in pairs:
        assert one is not other
        assert type(one) is type(other)
        assert int(one.iterations) == int(other.iterations) == 60


def test_removed_units_are_removed_from_adafactor_statistics():
    model = net(OPTIMIZERS.Adafactor(0.01))
    # The model is not trained: Adafactor in Keras returns NaN if its statistics are zero.
    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)
    place = optimizer._get_variable_index(model.get_layer("b").kernel)
    for slot, of_axis in ((optimizer._r[place], 2), (optimizer._c[place], 2)):
        value = np.arange(np.prod(slot.shape)).reshape(slot.shape)
        assert value.shape[of_axis] == 6
        slot.assign(value)
    small = shrunk(model)
    place = small.optimizer._get_variable_index(small.get_layer("b").kernel)
    expected = np.delete(np.arange(54).reshape(3, 3, 6), [1, 4], 2)
    for slot in (small.optimizer._r[place], small.optimizer._c[place]):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(slot), expected)


def test_optimizer_state_of_an_unknown_shape_raises():
    class OnePerUnit(OPTIMIZERS.SGD):
        def build(self, variables):
            super().build(variables)
            self.sizes = [self.add_variable((v.shape[-1],), name="size") for v in variables]

    model = net(OnePerUnit(0.01))
    train(model, range(1))
    with pytest.raises(ValueError, match="`sizes` of"):
        shrunk(model)


def test_units_with_a_nonzero_constant_output_are_kept():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(2)]
    )
    kernel = np.ones((3, 4))
    kernel[:, [0, 1, 2]] = 0
    # The outputs of the first three units are 1, 0 and relu(-1) = 0.
    model.layers[0].set_weights([kernel, np.array([1.0, 0.0, -1.0, 0.5])])
    model.compile("sgd", "mse", **PLAIN)
    assert shrunk(model).layers[0].units == 2


def test_units_with_a_positive_batch_normalization_offset_are_kept():
    for offset, units in ((0.5, 4), (-0.5, 3)):
        layers = [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.ReLU()]
        model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(2)])
        kernel = np.ones((3, 4))
        kernel[:, 0] = 0
        layers[0].set_weights([kernel, np.zeros(4)])
        layers[1].beta.assign([offset, 0.0, 0.0, 0.0])
        # In inference, the input of the ReLU is -0.5 in both cases.
        layers[1].moving_mean.assign([offset + 0.5, 0.0, 0.0, 0.0])
        model.compile("sgd", "mse", **PLAIN)
        assert shrunk(model).layers[0].units == units


def test_zero_units_followed_by_noise_are_kept():
    layers = [keras.layers.Dense(4, "relu"), keras.layers.GaussianNoise(0.1)]
    model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(2)])
    kernel = np.ones((3, 4))
    kernel[:, 0] = 0
    layers[0].set_weights([kernel, np.zeros(4)])
    model.compile("sgd", "mse", **PLAIN)
    _, labels = silent_labels(model, 1)
    assert not labels.any()


def test_query_sizes_are_kept_because_removal_would_rescale_weights():
    query = keras.Input((5, 4))
    attention = keras.layers.MultiHeadAttention(2, 4, name="attention")
    model = keras.Model(query, keras.layers.Dense(1)(attention(query, query)))
    for dense in (attention._query_dense, attention._key_dense):
        kernel = np.array(keras.ops.convert_to_numpy(dense.kernel))
        kernel[..., 1] = 0
        dense.kernel.assign(kernel)
    model.compile("sgd", "mse", **PLAIN)
    _, labels = silent_labels(model, 1)
    assert not labels.any()


def test_seed_generators_keep_their_state():
    layers = [keras.layers.Dropout(0.5), keras.layers.Dense(6, "relu")]
    model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(2)])
    kernel = np.ones((3, 6))
    kernel[:, 0] = 0
    layers[1].set_weights([kernel, np.zeros(6)])
    model.compile("sgd", "mse", **PLAIN)
    model(np.ones((2, 3)), training=True)
    small = shrunk(model)
    states = [
        keras.ops.convert_to_numpy(each.layers[0].seed_generator.state) for each in (model, small)
    ]
    np.testing.assert_array_equal(*states)
