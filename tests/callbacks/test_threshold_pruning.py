"""Pruned at the right time, and zero for as long as was asked for."""

import keras
import numpy as np
import pytest
from keras import optimizers
from watched import BACKEND, PLAIN, Interrupt, Watch, attributes, fit, kernel, net, trained

from kerasreg.callbacks import ProximalGradient, ThresholdPruning


def hold(threshold=0.3, at=1, **kwargs):
    return ThresholdPruning(threshold, at=at, hold=True, **kwargs)


def assert_held(watch, after):
    """From the end of epoch `after` on, its zeros stay zero and other weights move."""
    dead = watch.epochs[after] == 0
    assert 0 < dead.sum() < dead.size
    later = watch.batches[len(watch.batches) // len(watch.epochs) * (after + 1) :]
    assert all((w[dead] == 0).all() for w in [*later, *watch.epochs[after:]])
    assert (later[-1] != watch.epochs[after])[~dead].mean() > 0.9


def test_weights_are_pruned_at_the_end():
    model, pruning = net(), ThresholdPruning(0.3)
    fit(model, [pruning])
    zeros = int(np.sum(kernel(model) == 0))
    assert zeros > 0
    assert np.abs(kernel(model)[kernel(model) != 0]).min() >= 0.3
    assert pruning.pruned["end"]["net/hidden/kernel"] == zeros


def test_weights_are_pruned_after_given_epochs_only():
    model, watch = net(), Watch()
    pruning = ThresholdPruning(0.3, at=[0, 2])
    fit(model, [pruning, watch])
    assert list(pruning.pruned) == [0, 2]
    assert [(w == 0).any() for w in watch.epochs] == [True, False, True, False]


def test_pruning_at_the_end_runs_after_restored_weights():
    model = net()
    best = keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)
    fit(model, [ThresholdPruning(0.3), best])
    assert (kernel(model) == 0).any()


def test_pruned_belongs_to_the_last_fit():
    model, pruning = net(), ThresholdPruning(0.3, at=1)
    for _ in range(2):
        fit(model, [pruning], epochs=2)
    assert list(pruning.pruned) == [1]


def test_relative_thresholds_apply_to_selected_variables():
    pruning = ThresholdPruning({"kernel": 0.5}, relative=True, exclude="head")
    fit(net(), [pruning])
    assert list(pruning.pruned["end"]) == ["net/hidden/kernel"]


OPTIMIZERS = {
    "SGD with momentum": lambda: optimizers.SGD(0.05, momentum=0.9),
    "SGD with Nesterov momentum": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "Adam": lambda: optimizers.Adam(0.01),
    "AMSGrad": lambda: optimizers.Adam(0.01, amsgrad=True),
    "RMSprop with momentum": lambda: optimizers.RMSprop(0.01, momentum=0.9),
    "Nadam": lambda: optimizers.Nadam(0.01),
    "AdamW": lambda: optimizers.AdamW(0.01, weight_decay=0.1),
    "Lion": lambda: optimizers.Lion(0.01),
    "averages": lambda: optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9),
    "averages, overwriting": lambda: optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=3),
    "accumulated gradients": lambda: optimizers.SGD(0.1, 0.9, gradient_accumulation_steps=2),
    "a schedule": lambda: optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 20), momentum=0.9),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_zeros_hold_with_every_optimizer(optimizer):
    model, watch = net(optimizer()), Watch()
    fit(model, [hold(), watch])
    assert_held(watch, after=1)
    assert (kernel(model)[watch.epochs[1] == 0] == 0).all()


COMPILE = {"eager": {"run_eagerly": True}}
if BACKEND != "torch":
    COMPILE["XLA"] = {"jit_compile": True}
    COMPILE["several steps per execution"] = {"steps_per_execution": 2, **PLAIN}


@pytest.mark.parametrize("mode", COMPILE.values(), ids=COMPILE)
def test_zeros_hold_in_every_mode(mode):
    model, watch = net(), Watch()
    model.compile(optimizers.SGD(0.05, momentum=0.9), "mse", **mode)
    fit(model, [hold(), watch])
    assert_held(watch, after=1)


def test_zeros_hold_in_mixed_precision():
    model, watch = net(dtype="mixed_float16"), Watch()
    model.compile(optimizers.LossScaleOptimizer(optimizers.Adam(0.01)), "mse", **PLAIN)
    fit(model, [hold(), watch])
    assert_held(watch, after=1)


CONSTRAINTS = [keras.constraints.MaxNorm(1.0), keras.constraints.UnitNorm()]


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda c: type(c).__name__)
def test_zeros_hold_with_a_constraint(constraint):
    model, watch = net(optimizers.SGD(0.05, 0.9), kernel_constraint=constraint), Watch()
    fit(model, [hold(), watch])
    assert_held(watch, after=1)
    assert model.get_layer("hidden").kernel.constraint is constraint


@pytest.mark.parametrize("first", [0, 1])
def test_zeros_hold_with_the_prox(first):
    model = trained(optimizers.SGD(0.05, 0.9), kernel_regularizer="l2")
    before, watch = attributes(model), Watch()
    callbacks = [hold(), ProximalGradient()]
    fit(model, [callbacks[first], callbacks[1 - first], watch])
    assert_held(watch, after=1)
    assert attributes(model) == before


def test_two_callbacks_hold_their_zeros():
    model, watch = trained(optimizers.Adam(0.01)), Watch()
    before = attributes(model)
    fit(model, [hold(0.1, at=0), hold(0.3, at=2), watch])
    assert_held(watch, after=0)
    assert_held(watch, after=2)
    assert attributes(model) == before


def test_every_hold_adds_to_the_zeros():
    model, watch = net(optimizers.Adam(0.05)), Watch()
    fit(model, [hold(at=[0, 2]), watch])
    zeros = [int((w == 0).sum()) for w in watch.epochs]
    assert zeros[0] == zeros[1] < zeros[2] == zeros[3]


def test_without_hold_weights_grow_again():
    model = net(optimizers.SGD(0.05, 0.9))
    fit(model, [ThresholdPruning(0.3, at=1)])
    assert (kernel(model) != 0).all()


def test_weights_pruned_in_the_last_epoch_are_zero_in_the_averages():
    model = net(optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5))
    pruning = ThresholdPruning(0.3, at=3)
    fit(model, [pruning])
    assert (kernel(model) == 0).sum() == pruning.pruned[3]["net/hidden/kernel"] > 0


def test_model_and_optimizer_are_restored_after_the_fit():
    model = trained(optimizers.SGD(0.05, momentum=0.9))
    before = attributes(model)
    fit(model, [hold()])
    assert attributes(model) == before


def test_the_next_fit_holds_no_zeros():
    model = net(optimizers.SGD(0.05, momentum=0.9))
    fit(model, [hold()])
    assert (kernel(model) == 0).any()
    fit(model, [], epochs=1)
    assert (kernel(model) != 0).all()


def test_after_an_interrupted_fit_the_next_one_holds_no_zeros():
    model = trained(optimizers.SGD(0.05, momentum=0.9))
    before = attributes(model)
    with pytest.raises(KeyboardInterrupt):
        fit(model, [hold(), Interrupt(epoch=2)])
    assert (kernel(model) == 0).any()
    fit(model, [], epochs=1)
    assert (kernel(model) != 0).all()
    assert attributes(model) == before


def test_after_an_interrupted_fit_a_new_hold_starts_again():
    model, watch = net(optimizers.SGD(0.05, momentum=0.9)), Watch()
    with pytest.raises(KeyboardInterrupt):
        fit(model, [hold(0.5), Interrupt(epoch=2)])
    fit(model, [hold(0.1), watch])
    assert (watch.epochs[0] != 0).all()
    assert_held(watch, after=1)


@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_evaluate_and_predict_with_it_change_nothing(method):
    model = trained()
    before = attributes(model)
    model.evaluate(np.ones((8, 6)), np.ones((8, 1)), verbose=0)
    model.predict(np.ones((8, 6)), verbose=0)
    before, weights = attributes(model), kernel(model)
    x = (np.ones((8, 6)),) if method == "predict" else (np.ones((8, 6)), np.ones((8, 1)))
    getattr(model, method)(*x, verbose=0, callbacks=[hold()])
    assert attributes(model) == before
    np.testing.assert_array_equal(kernel(model), weights)


def test_validation_data_are_supported():
    model, watch = net(optimizers.SGD(0.05, momentum=0.9)), Watch()
    fit(model, [hold(), watch], validation_data=(np.ones((8, 6)), np.ones((8, 1))))
    assert_held(watch, after=1)
