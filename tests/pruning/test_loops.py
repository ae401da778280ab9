"""Pruning in loops of one's own, on the three backends."""

import keras
import numpy as np
import pytest
from keras import optimizers
from watched import BACKEND, attributes, kernel, net, trained

import kerasreg
from kerasreg import schedules
from kerasreg._pruning.gradients import gradients_of
from kerasreg._pruning.timeline import Run

RAMP = schedules.Polynomial(0.75, begin_step=2, end_step=9, frequency=2)
HIDDEN = {"include": "hidden/kernel"}


def batch():
    rng = np.random.default_rng(1)
    return rng.normal(size=(32, 6)).astype("float32"), rng.normal(size=(32, 1)).astype("float32")


def eager_step(model, optimizer):
    x, y = (keras.ops.convert_to_tensor(each) for each in batch())
    gradients = gradients_of(
        lambda: keras.ops.mean(keras.ops.square(model(x) - y)), model.trainable_variables
    )
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], model.trainable_variables)


def compiled_steps(model, optimizer):
    """A function that makes a step, compiled where the backend compiles."""
    x, y = batch()
    if BACKEND == "tensorflow":
        import tensorflow as tf

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(x) - y))
            variables = model.trainable_variables
            optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)

        return step
    if BACKEND == "jax":
        import jax

        def loss(trainable, non_trainable):
            predicted, non_trainable = model.stateless_call(trainable, non_trainable, x)
            return ((predicted - y) ** 2).mean()

        @jax.jit
        def update(trainable, non_trainable, state):
            gradients = jax.grad(loss)(trainable, non_trainable)
            return optimizer.stateless_apply(state, gradients, trainable)

        def step():
            variables = [model.trainable_variables, model.non_trainable_variables]
            values = [[v.value for v in each] for each in [*variables, optimizer.variables]]
            for own, new in zip(
                (model.trainable_variables, optimizer.variables), update(*values), strict=True
            ):
                for variable, value in zip(own, new, strict=True):
                    variable.assign(value)

        return step
    return lambda: eager_step(model, optimizer)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_zeros_hold_after_every_step(compiled):
    model, optimizer = net(), optimizers.Adam(0.01)
    timeline = RAMP.timeline(Run())
    with kerasreg.pruning(model, optimizer, RAMP, **HIDDEN) as loop:
        step = (
            compiled_steps(model, optimizer) if compiled else lambda: eager_step(model, optimizer)
        )
        dead = kernel(model) == 0
        for number in range(1, 13):
            step()
            assert (kernel(model)[dead] == 0).all()
            assert loop.step() == (number in (2, 4, 6, 8, 9) and timeline.sparsity(number) > 0)
            dead = kernel(model) == 0
            due = timeline.last_due(number)
            expected = 0 if due is None else timeline.sparsity(due)
            assert dead.sum() == np.floor(48 * expected + 0.5)
    expected = {at: np.floor(48 * timeline.sparsity(at) + 0.5) / 48 for at in (4, 6, 8, 9)}
    assert loop.pruned == expected
    assert "kerasreg" not in optimizer.__dict__


def test_the_end_of_the_context_restores_model_and_optimizer():
    model = trained("adam")
    before = attributes(model)
    with (
        pytest.raises(KeyError),
        kerasreg.pruning(model, model.optimizer, schedules.OneShot(0.5), **HIDDEN),
    ):
        raise KeyError
    assert attributes(model) == before
    assert (kernel(model) == 0).sum() == 24
    eager_step(model, model.optimizer)
    assert (kernel(model) != 0).all()


def test_the_zeros_of_a_rewound_model_hold():
    """The lottery ticket: train, prune, rewind, train again."""
    model, optimizer = net(), optimizers.SGD(0.05)
    start = model.get_weights()
    for _ in range(3):
        eager_step(model, optimizer)
    kerasreg.prune(model, 0.5, **HIDDEN)
    dead = kernel(model) == 0
    assert kerasreg.rewind(model, start) == 24
    np.testing.assert_array_equal(kernel(model), np.where(dead, 0, start[0]))
    optimizer = optimizers.Adam(0.01)
    with kerasreg.pruning(model, optimizer, schedules.Hold(), **HIDDEN):
        for _ in range(3):
            eager_step(model, optimizer)
    np.testing.assert_array_equal(kernel(model) == 0, dead)
    assert (kernel(model)[~dead] != start[0][~dead]).all()


def test_a_loop_that_does_not_call_step_raises():
    model, optimizer = net(), optimizers.SGD(0.05)
    with (
        pytest.raises(RuntimeError, match=r"should have pruned after 1 steps.*`step\(\)`"),
        kerasreg.pruning(model, optimizer, schedules.OneShot(0.5, 1), **HIDDEN),
    ):
        eager_step(model, optimizer)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="only tf.function goes stale")
def test_a_step_traced_before_the_context_raises():
    model, optimizer = net(), optimizers.SGD(0.05)
    step = compiled_steps(model, optimizer)
    step()
    with (
        pytest.raises(RuntimeError, match="compiled before"),
        kerasreg.pruning(model, optimizer, schedules.OneShot(0.5), **HIDDEN),
    ):
        step()


def test_invalid_uses_of_the_context_raise():
    model = net()
    x, y = batch()
    with (
        pytest.raises(ValueError, match="would never prune"),
        kerasreg.pruning(model, model.optimizer, schedules.OneShot(0.5, 9), steps=4, **HIDDEN),
    ):
        model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match="requires the length of this run"):
        kerasreg.pruning(model, model.optimizer, 0.5).__enter__()
    with pytest.raises(ValueError, match="needs a Keras optimizer"):
        kerasreg.pruning(model, "adam", schedules.OneShot(0.5)).__enter__()
