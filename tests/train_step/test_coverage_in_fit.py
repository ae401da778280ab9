"""Train steps that apply other optimizers than that of `compile`, and those that only seem to."""

import contextlib
import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops, optimizers
from watched import BACKEND, PLAIN, attributes

import kerasreg
from kerasreg import schedules
from kerasreg.callbacks import (
    CoupledGroupLasso,
    PenaltySchedule,
    ProximalGradient,
    PruneUntil,
    Pruning,
    ThresholdPruning,
)

# In a `fit` on JAX, only the optimizer of `compile` has a state.
stateful = pytest.mark.skipif(BACKEND == "jax", reason="JAX applies one optimizer in a fit")
pytestmark = pytest.mark.filterwarnings("ignore:Gradients do not exist")


def apply(optimizer, loss, variables):
    """A step of an optimizer, on TensorFlow and torch."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        optimizer.apply(tape.gradient(value, [v.value for v in variables]), variables)
    else:
        import torch

        for variable in variables:
            variable.value.grad = None
        value = loss()
        value.backward()
        with torch.no_grad():
            optimizer.apply([v.value.grad for v in variables], variables)
    return value


class Gan(keras.Model):
    """As in Keras' guides: `compile` makes an optimizer that nobody applies."""

    def __init__(self, discriminator, generator):
        super().__init__(name="gan")
        self.discriminator, self.generator = discriminator, generator

    def call(self, x):
        return self.discriminator(x)

    def compile(self, d_optimizer, g_optimizer, **kwargs):
        super().compile(**kwargs)
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer

    def train_step(self, real):
        noise = keras.random.normal((8, 3))
        cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)

        def d_loss():
            samples = ops.concatenate([self.generator(noise), real], axis=0)
            labels = ops.concatenate([ops.ones((8, 1)), ops.zeros((8, 1))], axis=0)
            return cross_entropy(labels, self.discriminator(samples))

        def g_loss():
            return cross_entropy(ops.zeros((8, 1)), self.discriminator(self.generator(noise)))

        loss = apply(self.d_optimizer, d_loss, self.discriminator.trainable_variables)
        apply(self.g_optimizer, g_loss, self.generator.trainable_variables)
        return {"loss": loss}


def gan():
    keras.utils.set_random_seed(0)
    parts = [
        keras.Sequential(
            [keras.Input((size,)), layers.Dense(8, "relu", kernel_regularizer="l1"),
             layers.Dense(out)], name=name,
        )
        for name, size, out in (("discriminator", 4, 1), ("generator", 3, 4))
    ]  # fmt: skip
    model = Gan(*parts)
    model.compile(optimizers.Adam(0.01), optimizers.Adam(0.01), **PLAIN)
    model.optimizer.build(model.trainable_variables)
    return model


class CountBatches(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.batches = 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1


def train(model, callbacks, epochs=1):
    x = np.random.default_rng(0).normal(size=(96, 4)).astype("float32")
    return model.fit(x, batch_size=8, epochs=epochs, verbose=0, callbacks=callbacks)


def zeros(variable):
    return np.mean(ops.convert_to_numpy(variable) == 0)


NOT_APPLIED = {
    "ProximalGradient": (ProximalGradient, r"kerasreg\.proximal\(part, its_optimizer\)"),
    "PenaltySchedule": (lambda: PenaltySchedule(ramp_steps=4), "Compile the model with the opt"),
    "Pruning": (
        lambda: Pruning(schedules.OneShot(0.5, 2)),
        r"kerasreg\.pruning\(part, its_optimizer, schedule\)",
    ),
    "soft Pruning": (
        lambda: Pruning(schedules.OneShot(0.5, 2), hold=False),
        r"kerasreg\.pruning\(part, its_optimizer, schedule\)",
    ),
    "PruneUntil": (lambda: PruneUntil("loss", tolerance=1.0), r"kerasreg\.pruning\(part, "),
    "ThresholdPruning": (
        lambda: ThresholdPruning(0.1, at=0, hold=True),
        r"kerasreg\.pruning\(part, its_optimizer, schedule\)",
    ),
}


@stateful
def test_a_gan_raises_after_its_first_batches_and_is_restored():
    model = gan()
    train(model, [])
    before, regularizers = attributes(model), [v.regularizer for v in model.weights]
    for name, (make, way_out) in NOT_APPLIED.items():
        count = CountBatches()
        with pytest.raises(RuntimeError, match=rf"changed, while the optimizer.*{way_out}"):
            train(model, [count, make()])
        assert count.batches <= 3, name
        assert attributes(model) == before
        assert [v.regularizer for v in model.weights] == regularizers
    train(model, [])


@stateful
def test_a_gan_trains_with_one_context_per_optimizer():
    model = gan()
    parts = [(model.discriminator, model.d_optimizer), (model.generator, model.g_optimizer)]
    with contextlib.ExitStack() as stack:
        for part, optimizer in parts:
            stack.enter_context(kerasreg.proximal(part, optimizer))
        train(model, [], epochs=6)
    for part, _ in parts:
        assert zeros(part.layers[0].kernel) > 0.1
    with kerasreg.pruning(*parts[0], schedules.OneShot(0.75, 2)) as loop:
        step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: loop.step())
        train(model, [step])
    assert zeros(model.discriminator.layers[0].kernel) == 0.75


@stateful
@pytest.mark.parametrize("make", [ProximalGradient, NOT_APPLIED["Pruning"][0]])
def test_an_optimizer_of_compile_that_trains_one_part_only(make):
    model = gan()
    model.optimizer = model.d_optimizer
    model.optimizer.build(model.trainable_variables)
    with pytest.raises(RuntimeError, match=r"generator/\S+kernel' changed.*none of them of these"):
        train(model, [make()])
    model.d_optimizer.build(model.trainable_variables)
    if make is ProximalGradient:
        # The other part has a prox of its own.
        with kerasreg.proximal(model.generator, model.g_optimizer):
            train(model, [make()], epochs=6)
        for part in (model.discriminator, model.generator):
            assert zeros(part.layers[0].kernel) > 0.1


@stateful
def test_coupled_groups():
    class Other(keras.Model):
        def train_step(self, data):
            x, y = data
            loss = lambda: ops.mean((self(x) - y) ** 2)  # noqa: E731
            return {"loss": apply(self.other, loss, self.trainable_variables)}

    x = keras.Input((4,))
    model = Other(x, layers.Dense(1)(layers.Dense(8, "relu")(x)))
    model.compile("sgd", "mse", **PLAIN)
    model.other = optimizers.SGD(0.1)
    data = np.ones((64, 4)), np.ones((64, 1))
    for callbacks in ([CoupledGroupLasso(0.01)], [PenaltySchedule(), CoupledGroupLasso(0.01)]):
        with pytest.raises(RuntimeError, match=r"changed, while.*self\.optimizer"):
            model.fit(*data, batch_size=8, verbose=0, callbacks=callbacks)
        assert not any(name.startswith("_kerasreg") for name in model.__dict__)


def two_heads():
    """A model of which a loss can use one head only."""
    keras.utils.set_random_seed(0)
    x = keras.Input((4,))
    names = ("used", "idle")
    heads = {n: layers.Dense(1, kernel_regularizer="l1", name=n)(x) for n in names}
    return keras.Model(x, heads)


def test_a_part_without_a_gradient_is_reported_and_unchanged():
    """TensorFlow and torch give it no gradient, JAX one of zero."""
    model = two_heads()
    model.compile(optimizers.SGD(0.1), {"used": "mse", "idle": None}, **PLAIN)
    x, y = np.ones((32, 4), "float32"), np.ones((32, 1), "float32")
    before = ops.convert_to_numpy(model.get_layer("idle").kernel)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, {"used": y, "idle": y}, batch_size=8, epochs=3, verbose=0,
                  callbacks=[ProximalGradient(), Pruning(schedules.OneShot(0.5, 3))])  # fmt: skip
    texts = [str(each.message) for each in caught if "did not change" in str(each.message)]
    if BACKEND != "jax":
        assert {text.split()[0] for text in texts} == {"`ProximalGradient`", "`Pruning`"}
        assert sum("idle/kernel" in text for text in texts) == len(texts) == 2
        after = ops.convert_to_numpy(model.get_layer("idle").kernel)
        np.testing.assert_array_equal(after[after != 0], before[after != 0])
    assert zeros(model.get_layer("idle").kernel) >= 0.5


LATE = {
    "accumulation": lambda: optimizers.SGD(0.1, gradient_accumulation_steps=5),
    "a scale that is too large": lambda: optimizers.LossScaleOptimizer(
        optimizers.SGD(0.1), initial_scale=2.0**126
    ),
}


@pytest.mark.parametrize("name", LATE)
def test_late_updates_are_counted(name):
    """With a constraint, which runs after micro-steps too."""
    keras.utils.set_random_seed(0)
    keras_max_norm = keras.constraints.MaxNorm(0.1)
    layer = layers.Dense(1, kernel_regularizer="l1", kernel_constraint=keras_max_norm)
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(LATE[name](), "mse", **PLAIN)
    x = np.random.default_rng(0).normal(size=(32, 4))
    callbacks = [ProximalGradient(), PenaltySchedule(), Pruning(schedules.Hold())]
    model.fit(x, np.ones((32, 1)), batch_size=8, epochs=3, verbose=0, callbacks=callbacks)


@stateful
def test_a_rarely_trained_part_is_counted():
    class Seldom(Gan):
        def train_step(self, real):
            self.rounds = getattr(self, "rounds", 0) + 1
            apply(
                self.optimizer,
                lambda: ops.mean(self.discriminator(real) ** 2),
                self.discriminator.trainable_variables,
            )
            if self.rounds % 5 == 0:
                noise = ops.ones((8, 3))
                loss = lambda: ops.mean(self.discriminator(self.generator(noise)))  # noqa: E731
                apply(self.optimizer, loss, self.generator.trainable_variables)
            return {"loss": 0.0}

    parts = gan()
    model = Seldom(parts.discriminator, parts.generator)
    model.compile(None, None, optimizer=optimizers.SGD(0.01), run_eagerly=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        train(model, [ProximalGradient(), Pruning(schedules.OneShot(0.5, 3))])
    assert zeros(model.generator.layers[0].kernel) >= 0.5


@pytest.mark.skipif(BACKEND != "tensorflow", reason="a function that goes stale")
def test_a_compiled_function_inside_of_the_train_step():
    import tensorflow as tf

    class Net(keras.Sequential):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.update = tf.function(self._update)

        def _update(self, x, y):
            loss = lambda: ops.mean((self(x) - y) ** 2)  # noqa: E731
            return apply(self.optimizer, loss, self.trainable_variables)

        def train_step(self, data):
            return {"loss": self.update(*data)}

    model = Net([keras.Input((4,)), layers.Dense(1, kernel_regularizer="l1")])
    model.compile(optimizers.SGD(0.1), "mse", **PLAIN)
    x = np.ones((24, 4), "float32")
    stale = model.update
    stale(x[:8], x[:8, :1])
    with pytest.raises(
        RuntimeError, match=r"1 updates, but none had a proximal step.*must not call a compiled"
    ):
        model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=[ProximalGradient()])
    # Outside of the train step: each batch is followed by an update without a prox.
    model.update = tf.function(model._update)
    late = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: stale(x[:8], x[:8, :1])
    )
    with pytest.warns(
        UserWarning, match="only 3 of 6 updates of the optimizer 'sgd' had a proximal step"
    ):
        model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=[ProximalGradient(), late])
