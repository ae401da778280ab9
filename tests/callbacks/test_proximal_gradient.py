"""`ProximalGradient` comes, works and goes without a trace."""

import keras
import numpy as np
import pytest
from problems import diabetes, kernel, linear

import kerasreg
from kerasreg.callbacks import ProximalGradient
from kerasreg.regularizers import L1, GroupLasso

STRONG = 10.0
# With it the prox shows: every weight becomes zero, which is warned about.
pytestmark = pytest.mark.filterwarnings("ignore:After epoch .* every weight is zero:UserWarning")


def compiled(regularizer=None, optimizer=None, **kwargs):
    model = linear(10, L1(STRONG) if regularizer is None else regularizer)
    model.compile(optimizer or keras.optimizers.SGD(0.01, momentum=0.9), "mse", **kwargs)
    return model


def fit(model, callbacks=(), epochs=3):
    x, y = diabetes()
    callbacks = list(callbacks)
    return model.fit(
        x, y, batch_size=50, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks
    )


def state(model):
    """What must be as before."""
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return (
        sorted(vars(model)),
        sorted(vars(optimizer)),
        sorted(vars(inner)),
        len(optimizer.variables),
        [id(v.regularizer) for v in model.weights],
        [id(v.constraint) for v in model.weights],
    )


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C in the middle of an epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            raise KeyboardInterrupt


def interrupted(model):
    with pytest.raises(KeyboardInterrupt):
        fit(model, [ProximalGradient(), Interrupt()])


@pytest.mark.parametrize("wrapped", [False, True])
def test_model_and_optimizer_are_restored_after_the_fit(wrapped):
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    model = compiled(
        optimizer=keras.optimizers.LossScaleOptimizer(optimizer) if wrapped else optimizer
    )
    fit(model)
    before = state(model)
    fit(model, [ProximalGradient()])
    assert np.all(kernel(model) == 0)
    assert state(model) == before


def test_a_second_fit_without_it_has_the_gradient_of_the_penalty_again():
    model, reference = compiled(L1(0.1)), compiled(L1(0.1))
    fit(model, [ProximalGradient()])
    reference.set_weights(model.get_weights())
    reference.optimizer.build(reference.trainable_variables)
    reference.optimizer.set_weights([v.numpy() for v in model.optimizer.variables])
    for each in (model, reference):
        fit(each)
    np.testing.assert_array_equal(kernel(model), kernel(reference))


def test_a_fit_with_it_after_one_without_it():
    model = compiled()
    fit(model)
    assert np.all(kernel(model) != 0)
    fit(model, [ProximalGradient()])
    assert np.all(kernel(model) == 0)


def test_one_instance_serves_several_fits_and_models():
    callback = ProximalGradient()
    for model in (compiled(), compiled()):
        fit(model, [callback])
        fit(model, [callback])
        assert np.all(kernel(model) == 0)


def test_two_fits_equal_one():
    """Momentum knows its past: zeros do not wake up at the start of the second fit."""
    x, y = diabetes()
    for split in ([20], [10, 10], [1] * 20):
        model = compiled(L1(0.2))
        for epochs in split:
            model.fit(
                x, y, batch_size=len(x), epochs=epochs, verbose=0, callbacks=[ProximalGradient()]
            )
        if split == [20]:
            reference = kernel(model)
            assert np.any(reference == 0)
        np.testing.assert_allclose(kernel(model), reference, atol=1e-6)


def test_after_an_interrupt_a_plain_fit_has_no_prox():
    model, reference = compiled(L1(0.1)), compiled(L1(0.1))
    fit(model, epochs=1)
    before = state(model)
    interrupted(model)
    reference.set_weights(model.get_weights())
    reference.optimizer.build(reference.trainable_variables)
    model.optimizer.iterations.assign(0)
    momentum = [v for v in model.optimizer.variables if "momentum" in v.path]
    for v in momentum:
        v.assign(np.zeros(v.shape))
    for each in (model, reference):
        fit(each)
    np.testing.assert_array_equal(kernel(model), kernel(reference))
    assert np.all(kernel(model) != 0)
    assert state(model) == before


def test_after_an_interrupt_a_proximal_fit_has_the_prox():
    model = compiled()
    interrupted(model)
    before = fit(model, [ProximalGradient()]).history["loss"][-1]
    assert np.all(kernel(model) == 0)
    _, y = diabetes()
    assert before == pytest.approx(float(np.mean(y**2)), rel=0.05)


def test_after_an_interrupt_evaluate_contains_the_penalty():
    model = compiled()
    interrupted(model)
    model.set_weights([np.ones((10, 1))])
    x, y = diabetes()
    expected = np.mean((y - x.sum(1, keepdims=True)) ** 2) + STRONG * 10
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_after_an_interrupt_a_saved_model_has_the_whole_optimizer(tmp_path):
    model = compiled(keras.regularizers.L1(STRONG))
    interrupted(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    names = [v.path.split("/")[-1] for v in loaded.optimizer.variables]
    assert len(names) == 3
    assert int(loaded.optimizer.iterations.numpy()) == 3


def test_after_an_interrupt_layers_keep_their_penalty_in_another_model():
    """Nothing trains unregularized in silence: the penalty has its gradient elsewhere."""
    model = compiled(L1(STRONG))
    interrupted(model)
    other = keras.Sequential([keras.Input((10,)), model.layers[0]])
    other.compile(keras.optimizers.SGD(1e-3), "mse")
    other.set_weights([np.ones((10, 1))])
    fit(other, epochs=1)
    # 9 steps of 1e-3 with a gradient of 10 from the penalty.
    assert np.all(kernel(other) < 0.96)


def test_compile_between_two_fits_is_supported():
    model = compiled()
    interrupted(model)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    fit(model)
    assert np.all(kernel(model) != 0)
    model.compile(keras.optimizers.Adam(0.1), "mse")
    fit(model, [ProximalGradient()], epochs=10)
    assert np.all(kernel(model) == 0)


def test_train_on_batch_after_an_interrupt_has_no_prox():
    model = compiled(L1(0.1))
    interrupted(model)
    x, y = diabetes()
    model.train_on_batch(x, y)
    assert np.all(kernel(model) != 0)
    assert "_backend_update_step" not in vars(model.optimizer)


def test_evaluate_and_predict_with_it_change_nothing():
    model = compiled()
    x, y = diabetes()
    fit(model)
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    before = state(model)
    model.evaluate(x, y, verbose=0, callbacks=[ProximalGradient()])
    model.predict(x, verbose=0, callbacks=[ProximalGradient()])
    assert state(model) == before


def test_validation_during_the_fit_uses_the_zero_weights():
    model = compiled()
    x, y = diabetes()
    history = model.fit(
        x, y, validation_data=(x, y), epochs=5, verbose=0, callbacks=[ProximalGradient()]
    )
    assert np.all(kernel(model) == 0)
    assert history.history["val_loss"][-1] == pytest.approx(float(np.mean(y**2)), rel=1e-5)


def test_metrics_history_and_progress_bar_are_unchanged(capsys):
    model = compiled(metrics=["mae"])
    history = fit(model, [ProximalGradient()])
    assert sorted(history.history) == ["loss", "mae"]
    assert capsys.readouterr().out == ""


def test_an_unbuilt_model_raises():
    model = keras.Sequential([keras.layers.Dense(1, kernel_regularizer="l1")])
    model.compile("sgd", "mse")
    if keras.backend.backend() == "tensorflow":
        with pytest.raises(ValueError, match=r"built.*keras\.Input"):
            fit(model, [ProximalGradient()])
    else:
        # Here Keras builds before the callbacks.
        fit(model, [ProximalGradient()])


def test_a_model_without_penalties_raises():
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    fit(model, epochs=1)
    before = state(model)
    with pytest.raises(ValueError, match=r"no regularizer at all.*kerasreg\.attach"):
        fit(model, [ProximalGradient()])
    assert state(model) == before


def test_a_model_with_other_penalties_only_raises_and_names_them():
    model = compiled(keras.regularizers.OrthogonalRegularizer())
    with pytest.raises(ValueError, match=r"dense.*/kernel"):
        fit(model, [ProximalGradient()])


def test_an_axis_that_weights_do_not_have_raises_before_training():
    model = linear(10, None)
    model.weights[0].regularizer = GroupLasso(0.1, axis=2)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"axes of .*\[0, 1\].*axis=2"):
        fit(model, [ProximalGradient()])


def test_a_train_step_that_does_not_apply_the_optimizer_raises():
    is_stateless = keras.backend.backend() == "jax"

    class Elsewhere(keras.Sequential):
        def train_step(self, *arguments):
            logs = {"loss": keras.ops.zeros(())}
            if not is_stateless:
                return logs
            trainable, others, (iterations, *slots), metrics = arguments[0]
            return logs, (trainable, others, [iterations + 1, *slots], metrics)

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if not is_stateless:
                self.model.optimizer.iterations.assign_add(1)

    model = Elsewhere([keras.Input((10,)), keras.layers.Dense(1, kernel_regularizer="l1")])
    model.compile("sgd", "mse")
    with pytest.raises(RuntimeError, match="none had a proximal step"):
        fit(model, [Count(), ProximalGradient()])


def test_training_the_same_model_during_the_fit_raises():
    class Nested(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.train_on_batch(*diabetes())

    with pytest.raises(RuntimeError, match="switched off during training"):
        fit(compiled(), [ProximalGradient(), Nested()])


def test_a_layer_unfrozen_after_compile_raises():
    model = compiled()
    model.layers[0].trainable = False
    model.optimizer.build(model.trainable_variables)
    model.layers[0].trainable = True
    with pytest.raises(
        ValueError, match=r"does not know these trainable variables: .*dense/kernel"
    ):
        fit(model, [ProximalGradient()])


def test_weights_that_become_nan_are_warned_about():
    model = compiled()
    x, y = diabetes()
    with pytest.warns(RuntimeWarning, match=r"NaN or infinite weights after epoch 1.*kernel"):
        model.fit(x * np.nan, y, verbose=0, callbacks=[ProximalGradient()])
    assert kerasreg.statistics(model).total.nonfinite > 0
