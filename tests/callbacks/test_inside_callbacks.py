"""kerasreg's functions called by a callback, in the middle of a `fit`."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasreg
from kerasreg.callbacks import PenaltySchedule, ProximalGradient
from kerasreg.regularizers import L1

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = X[:, :1]
HOOKS = ("on_train_begin", "on_epoch_begin", "on_train_batch_end", "on_epoch_end")


class Call(keras.callbacks.Callback):
    """Calls a function once, in one hook."""

    def __init__(self, hook, function):
        super().__init__()
        self.done = 0
        setattr(self, hook, lambda *_, **__: self._once(function))

    def _once(self, function):
        self.done += 1
        if self.done == 1:
            function(self.model)


def compiled():
    first = keras.layers.Dense(3, "tanh", kernel_regularizer=L1(0.01), name="first")
    last = keras.layers.Dense(1, name="last")
    model = keras.Sequential([keras.Input((4,)), first, last], name="net")
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def fit(model, *callbacks, epochs=2):
    return model.fit(
        X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks)
    ).history["loss"]


@pytest.mark.parametrize("hook", HOOKS)
def test_attach_and_detach_hold_from_the_next_batch_on(hook):
    model = compiled()
    evaluated = model.evaluate(X, Y, verbose=0)
    before = fit(model)
    assert before[1] == pytest.approx(evaluated, rel=1e-5)
    added = 0.5 * float(np.abs(ops.convert_to_numpy(model.layers[1].kernel)).sum())
    losses = fit(model, Call(hook, lambda m: kerasreg.attach(m, {"last/kernel": L1(0.5)})))
    assert losses[1] == pytest.approx(before[1] + added, rel=1e-5)
    losses = fit(model, Call(hook, kerasreg.detach))
    penalties = 0.01 * float(np.abs(ops.convert_to_numpy(model.layers[0].kernel)).sum())
    assert losses[1] == pytest.approx(before[1] - penalties, rel=1e-5)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("hook", HOOKS)
def test_polish_and_proximal_work_in_a_callback_of_another_fit(hook):
    def polish(model):
        report = kerasreg.polish(model, X, Y, epochs=3, learning_rate=0.05)
        assert report.objective_after < report.objective_before

    def loop(model):
        optimizer = keras.optimizers.SGD(0.1)
        with kerasreg.proximal(model, optimizer):
            weights = model.trainable_variables
            optimizer.apply([0 * ops.convert_to_tensor(w) for w in weights], weights)

    for function in (polish, loop):
        model = compiled()
        losses = fit(model, Call(hook, function), epochs=3)
        # The rate is 0: nothing else moves the weights, and the metrics went on.
        assert losses[2] == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-5)
        assert min(losses) > 0


@pytest.mark.parametrize("callback", [ProximalGradient, lambda: PenaltySchedule(ramp_steps=9)])
def test_changing_penalties_during_their_training_raises(callback):
    model = compiled()
    functions = {
        "attach": lambda m: kerasreg.attach(m, {"last/kernel": L1(0.5)}),
        "detach": kerasreg.detach,
        "polish": lambda m: kerasreg.polish(m, X, Y, learning_rate=0.1),
    }
    for name, function in functions.items():
        for hook in HOOKS[2:]:
            with pytest.raises(RuntimeError, match=rf"`kerasreg.{name}` cannot change 'net'"):
                fit(model, callback(), Call(hook, function))
    # That is no exception to what holds after an interrupted fit.
    kerasreg.attach(model, {"last/kernel": L1(0.5)})
    assert len(model.losses) == 2
    fit(model, callback())
    kerasreg.detach(model)
    assert not model.losses


def test_attach_inside_a_proximal_loop_raises():
    model, optimizer = compiled(), keras.optimizers.SGD(0.1)
    variables = model.trainable_variables
    with kerasreg.proximal(model, optimizer):
        with pytest.raises(RuntimeError, match=r"`kerasreg.attach` cannot.*on net/first/kernel"):
            kerasreg.attach(model, {"last/kernel": L1(0.5)})
        optimizer.apply([keras.ops.zeros(each.shape) for each in variables], variables)
