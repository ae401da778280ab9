"""An output that pruning makes constant is named in a warning and in the plan."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops
from tensors import array

import kerasreg
from kerasreg import schedules
from kerasreg.callbacks import Pruning

BARE = {"use_bias": False}


def dense(units, name, **options):
    return layers.Dense(units, name=name, **BARE, **options)


def product():
    x = keras.Input((8,))
    return keras.Model(x, dense(2, "out")(dense(6, "a")(x) * dense(6, "b")(x)))


def squeeze_and_excite():
    x = keras.Input((6, 6, 3))
    y = layers.Conv2D(8, 3, name="a", **BARE)(x)
    gate = dense(2, "b", activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(y))
    y = layers.Multiply(name="gated")([y, dense(8, "c", activation="tanh")(gate)])
    return keras.Model(x, dense(2, "out")(layers.GlobalAveragePooling2D()(y)))


def grouped():
    x = keras.Input((6, 6, 8))
    y = layers.Conv2D(8, 3, groups=4, name="a", **BARE)(x)
    y = layers.Conv2D(8, 3, groups=2, name="b", **BARE)(y)
    return keras.Model(x, dense(2, "out")(layers.GlobalAveragePooling2D()(y)))


def shared_bidirectional():
    x, z = keras.Input((4, 5)), keras.Input((4, 5))
    both = layers.Bidirectional(layers.LSTM(3, **BARE), name="a")
    return keras.Model([x, z], dense(2, "out")(dense(4, "b")(both(x) * both(z))))


def grouped_queries():
    x = keras.Input((4, 6))
    y = layers.GroupQueryAttention(4, 4, 2, name="a", **BARE)(x, x)
    return keras.Model(x, dense(2, "out")(layers.GlobalAveragePooling1D()(y)))


def depthwise():
    x = keras.Input((6, 6, 3))
    y = layers.Conv2D(6, 1, name="a", **BARE)(x)
    for name in "bc":
        y = layers.DepthwiseConv2D(3, padding="same", name=name, **BARE)(y)
    return keras.Model(x, dense(2, "out")(layers.GlobalAveragePooling2D()(y)))


def sliced():
    x = keras.Input((8,))
    y = dense(12, "a")(x)
    first, second, _ = ops.split(y, 3, axis=-1)
    return keras.Model(x, [dense(2, "out")(first * second), dense(2, "last")(y[:, 8:10])])


def ids():
    x = keras.Input((None,), dtype="int32")
    y = layers.Embedding(9, 4, mask_zero=True, name="a")(x)
    return keras.Model(x, dense(2, "out")(layers.GlobalAveragePooling1D()(y * dense(4, "b")(y))))


MODELS = (
    *(product, squeeze_and_excite, grouped, shared_bidirectional),
    *(grouped_queries, depthwise, sliced, ids),
)
if keras.backend.backend() == "jax":
    # It compiles every operation of the eager calls.
    MODELS = (product, ids)


def random_weights(model, seed):
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) * 0.1 ** rng.integers(0, 3))
    return model


def is_constant(model):
    """Whether an output is the same for all inputs."""
    rng = np.random.default_rng(1)
    xs = []
    for tensor in model.inputs:
        shape = (64, *(5 if size is None else size for size in tensor.shape[1:]))
        is_id = "int" in tensor.dtype
        xs.append(rng.integers(1, 9, shape) if is_id else rng.normal(size=shape).astype("float32"))
    outputs = keras.tree.flatten(model(xs if len(xs) > 1 else xs[0], training=False))
    return any(np.ptp(array(each), axis=0).max() == 0 for each in outputs)


def texts(found):
    return [str(each.message) for each in found if each.category is UserWarning]


@pytest.mark.parametrize("make", MODELS)
def test_no_output_becomes_constant_in_silence(make):
    patterns = ("unstructured", "unit", "input", *(["coupled"] if make is not grouped else []))
    for seed, pattern in enumerate(patterns):
        keras.backend.clear_session()
        model = random_weights(make(), seed)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            plan = kerasreg.prune(model, 0.9, pattern=pattern, scope="global")
        said = any("nothing depends on the inputs" in text for text in texts(found))
        assert said == ("an output of the model is constant after" in (plan.note or ""))
        assert said == is_constant(model), (seed, pattern)


def half_dead_product():
    """Of two branches, pruning keeps different halves."""
    model = product()
    for name, living in (("a", slice(0, 3)), ("b", slice(3, 6))):
        weights = np.full((8, 6), 1e-3)
        weights[:, living] = 1.0
        model.get_layer(name).kernel.assign(weights)
    model.get_layer("out").kernel.assign(np.ones((6, 2)))
    return model


AFTER = r"makes an output of '.*' constant: after '?multiply.*'?, nothing depends on the inputs"


def test_the_warning_names_the_operation():
    model = half_dead_product()
    with pytest.warns(UserWarning, match=AFTER):
        plan = kerasreg.prune(model, 0.5, include="a/|b/")
    assert "an output of the model is constant after multiply" in plan.note
    assert is_constant(model)


def crossed(x, z=None, name="product"):
    """A product of two branches in which different units have large weights."""
    z = x if z is None else z
    return layers.Multiply(name=name)([dense(6, "a")(x), dense(6, "b")(z)])


def of_a_dict():
    z, mask = keras.Input((8,), name="z"), keras.Input((8,), dtype="bool", name="mask")
    inputs, y = {"z": z, "mask": mask}, ops.where(mask, z, 0.0)
    return keras.Model(inputs, {"out": dense(2, "out")(crossed(y))})


def nested():
    x, y = keras.Input((8,)), keras.Input((8,))
    inner = keras.Model(x, dense(2, "out")(crossed(x)), name="inner")
    return keras.Sequential([y, inner])


def of_open_sizes():
    x = keras.Input((None, None, 8))
    y = layers.GlobalMaxPooling2D()(layers.MaxPooling2D(4)(crossed(x)))
    return keras.Model(x, dense(2, "out")(y))


def masked_with_a_fixed_batch():
    x = keras.Input((4, 8), batch_size=3)
    y = layers.GlobalAveragePooling1D()(crossed(layers.Masking()(x)))
    return keras.Model(x, [dense(2, "out")(y), layers.Dense(1, name="whole")(x[:, 0])])


class Own(keras.Model):
    pass


def of_an_own_class():
    x, z = keras.Input((8,)), keras.Input((8,), dtype="float16")
    return Own([x, z], dense(2, "out", dtype="float16")(crossed(x, ops.cast(z, "float32"))))


@pytest.mark.parametrize(
    "make", [of_a_dict, nested, of_open_sizes, masked_with_a_fixed_batch, of_an_own_class]
)
def test_all_kinds_of_inputs_are_tried(make):
    model = make()
    for variable in model.trainable_variables:
        start = {"a/kernel": 0, "b/kernel": 3}.get(variable.path[-8:])
        if start is not None:
            large = np.isin(np.arange(6), range(start, start + 3))
            variable.assign(np.where(large, 1.0, 1e-3) * np.ones(variable.shape))
    name = "inner" if make is nested else "product"
    with pytest.warns(UserWarning, match=f"constant: after '?{name}'?, nothing"):
        kerasreg.prune(model, 0.5, include="a/|b/")


def test_without_min_units_only_the_plan_says_it():
    plan = kerasreg.prune(half_dead_product(), 0.5, include="a/|b/", min_units=0)
    assert "an output of the model is constant after multiply" in plan.note


def test_all_weights_may_be_pruned():
    model = half_dead_product()
    assert kerasreg.prune(model, 1.0).note is None
    assert not any(array(each).any() for each in model.weights)
    model = half_dead_product()
    with pytest.warns(UserWarning, match="nothing depends on the inputs"):
        kerasreg.prune(model, 0.3, scope={"a/": 1.0})
    assert not array(model.get_layer("a").kernel).any()


def test_training_warns_once_and_goes_on():
    model = half_dead_product()
    model.compile(keras.optimizers.SGD(1e-4), "mse")
    x = np.random.default_rng(0).normal(size=(16, 8))
    pruning = Pruning(schedules.Linear(0.6, end_step=8), include="a/|b/")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        history = model.fit(x, np.ones((16, 2)), 4, epochs=3, verbose=0, callbacks=[pruning])
    assert len(history.history["loss"]) == 3
    assert sum("`Pruning` makes an output of" in text for text in texts(found)) == 1


class Picky(layers.Layer):
    """Accepts no random inputs."""

    def call(self, x):
        raise RuntimeError("no values here")

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def test_a_model_that_is_constant_for_another_reason_or_fails_gets_no_warning():
    x = keras.Input((8,))
    y = layers.Dense(4, "relu", name="a", bias_initializer=keras.initializers.Constant(-1e6))(x)
    kerasreg.prune(keras.Model(x, dense(2, "out")(y)), 0.5)
    kerasreg.prune(keras.Model(x, Picky()(dense(6, "a")(x) * dense(6, "b")(x))), 0.9)


def test_the_weights_and_states_of_the_model_do_not_change():
    x = keras.Input((8,), batch_size=4)
    y = layers.BatchNormalization()(dense(6, "a")(x))
    y = layers.Reshape((1, 6))(layers.Dropout(0.5)(y))
    model = keras.Model(x, dense(2, "out")(layers.LSTM(4, stateful=True, **BARE)(y)))
    skipped = [array(v) for v in model.weights if "a/kernel" not in v.path]
    kerasreg.prune(model, 0.5, include="a/kernel")
    after = [array(v) for v in model.weights if "a/kernel" not in v.path]
    assert all(np.array_equal(a, b) for a, b in zip(skipped, after, strict=True))
    assert not array(model.layers[-2].states[0]).any()
