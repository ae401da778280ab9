"""What fails when a fit ends is a warning: the History is worth more."""

import functools

import keras
import numpy as np
import pytest
from keras import optimizers

import kerasreg
from kerasreg.callbacks import ProximalGradient, SparsityLogger, ThresholdPruning
from kerasreg.regularizers import L1

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = X[:, :1] - 0.5 * X[:, 1:2]


def compiled(optimizer="adam"):
    layer = keras.layers.Dense(1, kernel_regularizer=L1(0.01), name="only")
    model = keras.Sequential([keras.Input((4,)), layer], name="net")
    model.compile(optimizer, "mse")
    return model


def fit(model, *callbacks, epochs=2):
    history = model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks))
    assert len(history.history["loss"]) == epochs
    return history


class Breaks(keras.callbacks.Callback):
    """Does something to the model after the last epoch, or at the end of the fit."""

    def __init__(self, function, when="on_train_end"):
        super().__init__()
        setattr(self, when, lambda *_, **__: function(self.model))


def make_nan(model):
    model.layers[-1].kernel.assign(np.full((4, 1), np.nan))


def fails(*_, **__):
    raise OSError("no space left on device")


RATES = {
    "schedule": (lambda: optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 4)), []),
    "warm-up and down": (
        lambda: optimizers.Adam(optimizers.schedules.PolynomialDecay(0.1, 4, 0.0)),
        [],
    ),
    "callback": (
        lambda: optimizers.Adam(0.1),
        [keras.callbacks.LearningRateScheduler(lambda epoch: 0.0 if epoch else 0.1)],
    ),
}


@pytest.mark.parametrize("name", RATES)
def test_polish_uses_an_earlier_rate_when_the_current_one_is_zero(name):
    optimizer, callbacks = RATES[name]
    model = compiled(optimizer())
    polishing = ProximalGradient(polish={"x": X, "y": Y, "epochs": 60})
    fit(model, *callbacks, polishing, epochs=3)
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == 0
    report = polishing.polished
    assert report.objective_after < report.objective_before
    assert report.zeros_after == 2
    # The optimum of this lasso, in closed form: no weight of the two has changed its sign.
    both = X[:, :2].astype("float64")
    y = Y[:, 0].astype("float64")
    signs = np.array([1.0, -1.0])
    optimum = np.linalg.solve(2 * both.T @ both / 16, 2 * both.T @ y / 16 - 0.01 * signs)
    kernel = keras.ops.convert_to_numpy(model.layers[0].kernel)
    np.testing.assert_allclose(kernel[:2, 0], optimum, atol=0.01)


def test_every_update_of_an_eager_fit_with_polish_has_a_prox():
    model = compiled(optimizers.SGD(0.1))
    model.run_eagerly = True
    seen = []

    class Counts(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kernel = keras.ops.convert_to_numpy(model.layers[0].kernel)
            seen.append((int(model.optimizer.iterations), kernel[2:, 0].copy()))

    polishing = ProximalGradient(polish={"x": X, "y": Y, "epochs": 1})
    plain = compiled(optimizers.SGD(0.1))
    plain.set_weights(model.get_weights())
    for each, callbacks in ((model, [Counts(), polishing]), (plain, [ProximalGradient()])):
        keras.utils.set_random_seed(0)
        fit(each, *callbacks, epochs=6)
    assert [steps for steps, _ in seen] == [2, 4, 6, 8, 10, 12]
    kernel = keras.ops.convert_to_numpy(plain.layers[0].kernel)
    np.testing.assert_allclose(seen[-1][1], kernel[2:, 0], atol=1e-6)


def test_invalid_polish_raises_before_the_first_epoch():
    def begun(model, **arguments):
        ended = []
        last = Breaks(lambda _: ended.append(1), "on_epoch_end")
        try:
            fit(model, ProximalGradient(polish={"x": X, "y": Y, **arguments}), last)
        finally:
            assert not ended
            assert model.layers[0].kernel.regularizer.get_config() == {"l1": 0.01}

    for arguments, message in (
        ({"learning_rate": "x"}, r"`learning_rate` must be a finite number above 0.*Received.*'x'"),
        ({"learning_rate": float("inf")}, r"`learning_rate` must be a finite number above 0"),
        ({"epochs": 1.5}, r"`epochs` must be an int"),
        ({"y": None}, r"needs targets, because 'net' was compiled with the loss 'mse'"),
        ({"y": Y[:3]}, r"the same number of samples"),
    ):
        with pytest.raises(ValueError, match=message):
            begun(compiled(), **arguments)
    with (
        pytest.warns(UserWarning, match="Muon"),
        pytest.raises(ValueError, match=r"step size.*Received: Muon. Pass `learning_rate`"),
    ):
        begun(compiled(optimizers.Muon(0.01)))


def test_errors_at_the_end_of_a_fit_become_warnings(tmp_path, monkeypatch):
    model = compiled()
    breaks = Breaks(make_nan)
    with pytest.warns(RuntimeWarning, match=r"`ProximalGradient` could not polish .*is nan"):
        fit(model, breaks, ProximalGradient(polish={"x": X, "y": Y}))
    # Nothing of ours is left.
    assert isinstance(model.layers[0].kernel.regularizer, L1)
    model = compiled()
    last = Breaks(lambda m: make_nan(m), "on_epoch_end")
    with pytest.warns(RuntimeWarning, match=r"`ThresholdPruning` could not prune .*NaN"):
        fit(model, ThresholdPruning(0.1), last)
    model = compiled()
    logger = SparsityLogger(tmp_path)
    hit = Breaks(lambda _: monkeypatch.setattr(logger, "_log", fails), "on_epoch_end")
    with pytest.warns(RuntimeWarning, match=r"`SparsityLogger` could not log .*no space left"):
        fit(model, logger, hit, epochs=1)


def test_polish_that_fails_midway_restores_the_weights():
    model = compiled(optimizers.SGD(0.1))

    class Bad(keras.utils.PyDataset):
        taken = 0

        def __len__(self):
            return 2

        def __getitem__(self, index):
            self.taken += 1
            if self.taken > 5:
                raise OSError("the disk is gone")
            return X, Y

    before = keras.ops.convert_to_numpy(model.layers[0].kernel).copy()
    with pytest.raises(OSError, match="disk is gone"):
        kerasreg.polish(model, Bad())
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model.layers[0].kernel), before)
    fit(model, ProximalGradient())


def test_an_optimizer_built_before_unfreezing_raises_without_values():
    for callback in (ProximalGradient(), kerasreg.callbacks.CoupledGroupLasso(0.1), None):
        inputs = keras.Input((4,))
        x = keras.layers.Dense(3, kernel_regularizer=L1(0.1), name="first")(inputs)
        model = keras.Model(inputs, keras.layers.Dense(1, name="second")(x))
        model.layers[2].trainable = False
        model.compile("adam", "mse")
        model.fit(X, Y, verbose=0)
        model.layers[2].trainable = True
        run = functools.partial(kerasreg.polish, model, X, Y)
        if callback is not None:
            run = functools.partial(model.fit, X, Y, verbose=0, callbacks=[callback])
        with pytest.raises(ValueError, match=r"second/kernel.*Call `model.compile") as error:
            run()
        assert "value=" not in str(error.value)
