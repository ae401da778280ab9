"""As sparse as a metric allows, and back to the last good model."""

import keras
import numpy as np
import pytest
from keras import layers, optimizers
from problems import breast_cancer
from watched import PLAIN, attributes, fit, kernel, net, trained

from kerasreg.callbacks import PruneUntil

HIDDEN = {"include": "hidden/kernel"}


class Metric(keras.callbacks.Callback):
    """Puts given values of a metric into the logs, and remembers the weights."""

    def __init__(self, values):
        super().__init__()
        self.values, self.weights = values, []
        # Before PruneUntil, which comes before the others otherwise.
        self.prunes_weights = True

    def on_epoch_end(self, epoch, logs=None):
        logs["quality"] = self.values[epoch]
        self.weights.append(self.model.get_weights())


def until(**kwargs):
    return PruneUntil(
        **{"monitor": "quality", "mode": "max", "tolerance": 0.05, **HIDDEN, **kwargs}
    )


def test_the_last_good_weights_are_restored():
    metric = Metric([0.9, 0.9, 0.86, 0.84, 0.9])
    model, pruning = net(), until(sparsities=(0.25, 0.5, 0.75))
    history = fit(model, [metric, pruning], epochs=9).history
    assert len(history["loss"]) == 4
    assert pruning.sparsity == 0.5
    assert pruning.history == [
        (0, 0.0, 0.9, True),
        (1, 0.25, 0.9, True),
        (2, 0.5, 0.86, True),
        (3, 0.75, 0.84, False),
    ]
    for now, then in zip(model.get_weights(), metric.weights[2], strict=True):
        np.testing.assert_array_equal(now, then)
    assert (kernel(model) == 0).sum() == 24


def test_a_sparsity_has_several_epochs_to_recover():
    metric = Metric([0.5, 0.9, 0.1, 0.88, 0.1, 0.2])
    pruning = until(sparsities=(0.25, 0.5, 0.75), epochs=2)
    model = net()
    fit(model, [metric, pruning], epochs=9)
    assert pruning.baseline == 0.9
    assert [good for _, _, _, good in pruning.history] == [True, True, False, True, False, False]
    assert pruning.sparsity == 0.25
    assert (kernel(model) == 0).sum() == 12


def test_it_stops_at_the_last_sparsity():
    pruning, model = until(sparsities=(0.25, 0.5)), net()
    history = fit(model, [Metric([0.9] * 9), pruning], epochs=9).history
    assert len(history["loss"]) == 3
    assert pruning.sparsity == 0.5
    assert (kernel(model) == 0).sum() == 24


def test_without_a_good_sparsity_nothing_is_pruned():
    metric, model = Metric([0.9, 0.1]), net()
    pruning = until(sparsities=(0.5,))
    fit(model, [metric, pruning], epochs=9)
    assert pruning.sparsity == 0
    np.testing.assert_array_equal(kernel(model), metric.weights[0][0])


def test_a_given_baseline_is_used():
    pruning, model = until(sparsities=(0.25, 0.5), baseline=0.9), net()
    fit(model, [Metric([0.86, 0.8]), pruning], epochs=9)
    assert [sparsity for _, sparsity, _, _ in pruning.history] == [0.25, 0.5]
    assert pruning.sparsity == 0.25


def test_mode_min_prefers_low_values():
    pruning, model = until(mode="min", sparsities=(0.25, 0.5)), net()
    fit(model, [Metric([0.9, 0.94, 0.96]), pruning], epochs=9)
    assert pruning.sparsity == 0.25


def test_too_few_epochs_are_warned_about():
    pruning, model = until(sparsities=(0.25, 0.5, 0.75)), net()
    with pytest.warns(UserWarning, match="ran out of epochs at a sparsity of 0.25"):
        fit(model, [Metric([0.9, 0.9]), pruning], epochs=2)
    assert (kernel(model) == 0).sum() == 12


def test_the_next_fit_holds_no_zeros():
    model = trained("adam")
    before = attributes(model)
    fit(model, [Metric([0.9] * 9), until(sparsities=(0.5,))], epochs=9)
    assert attributes(model) == before
    fit(model, [])
    assert (kernel(model) != 0).all()


def test_real_data_are_pruned_within_the_tolerance():
    """Three of 169 samples on validation data that training has not seen."""
    x, y = breast_cancer()
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((30,)), layers.Dense(32, "relu"), layers.Dense(1, "sigmoid")]
    )
    model.compile(optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"], **PLAIN)
    pruning = PruneUntil("val_accuracy", tolerance=3 / 169, epochs=10, min_units=0)
    model.fit(
        x[:400], y[:400], epochs=120, verbose=0, callbacks=[pruning],
        validation_data=(x[400:], y[400:]),
    )  # fmt: skip
    kernels = [np.array(each) for each in model.get_weights()[::2]]
    zeros = sum((each == 0).sum() for each in kernels) / sum(each.size for each in kernels)
    assert pruning.sparsity >= 0.8
    assert zeros == pytest.approx(pruning.sparsity, abs=1e-3)
    accuracy = model.evaluate(x[400:], y[400:], verbose=0)[1]
    assert accuracy >= pruning.baseline - 3 / 169 - 1e-6


@pytest.mark.parametrize("call", [
    lambda: PruneUntil(tolerance=-1),
    lambda: PruneUntil(sparsities=()),
    lambda: PruneUntil(sparsities=(0.5, 0.4)),
    lambda: PruneUntil(sparsities=(0.5, 1.4)),
    lambda: PruneUntil(epochs=0),
    lambda: PruneUntil("quality"),
    lambda: PruneUntil(mode="best"),
    lambda: PruneUntil(pattern="2:4"),
], ids=range(8))  # fmt: skip
def test_invalid_arguments_raise(call):
    with pytest.raises(ValueError, match=r"Received"):
        call()


def test_a_metric_that_is_not_in_the_logs_raises():
    with pytest.raises(ValueError, match=r"needs a `monitor` that is in the logs.*\['loss'\]"):
        fit(net(), [PruneUntil("val_accuracy")])
