"""What a fit ends with: weights that others set stay so, and what is missing is said."""

import warnings

import keras
import numpy as np
import pytest
from keras import callbacks, optimizers
from needs import TENSORFLOW
from watched import Watch, fit, kernel, net

import kerasreg
from kerasreg import schedules
from kerasreg.callbacks import PenaltySchedule, PruneUntil, Pruning, ThresholdPruning

HIDDEN = {"include": "hidden/kernel"}
NAMES = ("Pruning", "PruneUntil", "PenaltySchedule", "kerasreg")
#: 16 steps in four epochs: 12, 24, 36 of 48 weights are zero after the epochs 1, 2 and 3.
LINEAR = schedules.Linear(0.75, begin_step=0, end_step=12, frequency=1)


class Scores(callbacks.Callback):
    """Logs a metric that is best in one epoch, and remembers what each epoch ended with."""

    prunes_weights = True  # Before the others, which read it.

    def __init__(self, best):
        super().__init__()
        self.best, self.outputs, self.weights = best, [], []

    def on_epoch_end(self, epoch, logs=None):
        logs["quality"] = 1.0 - 0.01 * abs(epoch - self.best)
        _ = self.model
        self.weights.append([np.array(v) for v in self.model.get_weights()])


class SetsAtTheEnd(callbacks.Callback):
    """A restoring callback of somebody's own."""

    def __init__(self, scores, at="train"):
        super().__init__()
        self.scores, self.at = scores, at

    def on_epoch_end(self, epoch, logs=None):
        if self.at == "epoch" and epoch == 3:
            self.model.set_weights(self.scores.weights[self.scores.best])

    def on_train_end(self, logs=None):
        if self.at == "train":
            self.model.set_weights(self.scores.weights[self.scores.best])


class LoadsAtTheEnd(callbacks.Callback):
    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_train_end(self, logs=None):
        self.model.load_weights(self.path)


def stopping(**kwargs):
    return callbacks.EarlyStopping(
        "quality", mode="max", patience=9, restore_best_weights=True, **kwargs
    )


def told(call):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    texts = [str(each.message) for each in found]
    return [text for text in texts if any(name in text for name in NAMES)]


def assert_best(model, scores):
    for now, best in zip(model.get_weights(), scores.weights[scores.best], strict=True):
        np.testing.assert_array_equal(now, best)


def restorers(scores, path):
    saver = callbacks.ModelCheckpoint(
        path, "quality", mode="max", save_best_only=True, save_weights_only=True
    )
    return {
        "EarlyStopping": [stopping()],
        "at the end of the fit": [SetsAtTheEnd(scores)],
        "at the end of an epoch": [SetsAtTheEnd(scores, "epoch")],
        "a checkpoint": [saver, LoadsAtTheEnd(path)],
    }


def test_restored_weights_are_left_unchanged(tmp_path):
    """Bit by bit, whoever restores it, in any order; and what is said of it is true of it."""
    path = str(tmp_path / "best.weights.h5")
    for name in restorers(None, path):
        for is_first in (True, False):
            model, scores, pruning = net("adam"), Scores(1), Pruning(LINEAR, **HIDDEN)
            others = restorers(scores, path)[name]
            order = [scores, pruning, *others] if is_first else [scores, *others, pruning]
            found = told(lambda: fit(model, order))  # noqa: B023
            assert_best(model, scores)
            assert (kernel(model) == 0).sum() == 24, name
            assert pruning.sparsity == list(pruning.pruned.values())[-1] == 0.5
            (text,) = found
            assert "should reach 75.0% zeros, but the model has 50.0%" in text
            assert "start_from_epoch=3" in text


def test_the_best_file_with_fewer_zeros_is_warned_about(tmp_path):
    """The numbers in the warning are those of the file and of the model."""
    path = str(tmp_path / "best.weights.h5")
    by_threshold = {"threshold": 0.2, "at": [0, 2], "hold": True, **HIDDEN}
    for make, options, best, has_warning in (
        (Pruning, {"schedule": LINEAR, **HIDDEN}, 1, True),
        (Pruning, {"schedule": LINEAR, **HIDDEN}, 3, False),
        (ThresholdPruning, by_threshold, 1, True),
        (ThresholdPruning, by_threshold, 2, False),
    ):
        model, pruning = net(optimizers.Adam(0.1)), make(**options)
        saver = restorers(None, path)["a checkpoint"][0]
        found = told(lambda: fit(model, [Scores(best), saver, pruning]))  # noqa: B023
        zeros = (kernel(model) == 0).sum()
        model.load_weights(path)
        saved = (kernel(model) == 0).sum()
        assert (saved < zeros) == has_warning == len(found)
        if has_warning:
            texts = [f"{n / 48:.1%}" if make is Pruning else f"{n:,}" for n in (saved, zeros)]
            assert f"saved has {texts[0]} zeros" in found[0]
            assert f"the model has {texts[1]}" in found[0]
            assert "start_from_epoch=3" in found[0]


def test_other_files_give_no_warning(tmp_path):
    """All epochs are saved, or only those with the most zeros."""
    savers = [
        callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
        callbacks.ModelCheckpoint(
            tmp_path / "sparse.keras", "sparsity", mode="max", save_best_only=True
        ),
    ]
    logger = kerasreg.callbacks.SparsityLogger(log_dir=False)
    assert told(lambda: fit(net(), [Pruning(LINEAR, **HIDDEN), logger, *savers])) == []


def test_restored_weights_with_all_zeros_give_no_warning():
    model, scores = net("adam"), Scores(3)
    pruning = Pruning(LINEAR, **HIDDEN)
    best = stopping(start_from_epoch=3)
    assert told(lambda: fit(model, [scores, pruning, best], epochs=6)) == []
    assert_best(model, scores)
    assert (kernel(model) == 0).sum() == 36


def test_restored_weights_with_regrowth_soft_pruning_and_other_callbacks():
    """Regrown: other zeros, and as many. Soft: none between two prunings."""
    regrown = Pruning(schedules.Constant(0.5, end_step=16, frequency=3), regrow="random", **HIDDEN)
    soft = Pruning(schedules.Linear(0.5, end_step=15, frequency=3), hold=False, **HIDDEN)
    for pruning, zeros in ((regrown, 24), (soft, 0)):
        model, scores = net("adam"), Scores(1)
        plateau = callbacks.ReduceLROnPlateau("quality", mode="max", patience=1)
        found = told(lambda: fit(model, [scores, pruning, plateau, stopping()]))  # noqa: B023
        assert_best(model, scores)
        assert (kernel(model) == 0).sum() >= zeros
        assert len(found) == (pruning is soft)
    assert "the model has 0.0%" in found[0]


def test_restored_weights_with_use_ema():
    """With `use_ema`, the fit ends with the averages, in which EarlyStopping's best is none."""
    model, scores = net(optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5)), Scores(1)
    swap = callbacks.SwapEMAWeights(swap_on_epoch=True)
    found = told(lambda: fit(model, [scores, Pruning(LINEAR, **HIDDEN), swap, stopping()]))
    assert (kernel(model) == 0).sum() in (24, 36)
    assert len(found) == ((kernel(model) == 0).sum() == 24)


def test_weights_set_between_epochs_are_pruned_again():
    """No hybrid is trained: of weights that are set, the weakest go, as many as are due."""
    model, scores = net(optimizers.SGD(0.0)), Scores(0)
    start, watch = kernel(model), Watch()

    class Restore(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                self.model.get_layer("hidden").kernel.assign(start[::-1].copy())

    fit(model, [scores, Pruning(LINEAR, **HIDDEN), Restore(), watch])
    order = np.argsort(np.abs(start[::-1]), axis=None, kind="stable")
    for weights in watch.batches[12:]:
        np.testing.assert_array_equal(np.sort(np.flatnonzero(weights == 0)), np.sort(order[:36]))


def test_restored_weights_with_held_thresholds_are_warned_about():
    model, scores = net("adam"), Scores(1)
    pruning = ThresholdPruning(0.4, at=2, hold=True, **HIDDEN)
    found = told(lambda: fit(model, [pruning, scores, stopping()]))
    assert_best(model, scores)
    assert (kernel(model) != 0).all()
    assert "They are left unchanged" in found[0]
    assert "start_from_epoch=3" in found[0]


class Stop(callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == self.epoch


def test_a_fit_that_ends_before_its_schedule_is_warned_about():
    pruning = Pruning(LINEAR, **HIDDEN)
    model = net("adam")
    (text,) = told(lambda: fit(model, [pruning, Stop(1)]))
    assert (kernel(model) == 0).sum() == 24
    assert "75.0% zeros, but the model has 50.0%: the run ended after 8 steps" in text
    assert "due after 12" in text
    assert told(lambda: fit(net("adam"), [Pruning(LINEAR, **HIDDEN), Stop(2)])) == []


def test_a_fit_without_epochs_prunes_nothing():
    """As when a fit resumes that was over: nothing is pruned, and nothing fails."""
    for callback in (Pruning(LINEAR, **HIDDEN), ThresholdPruning(0.1, at=2, hold=True, **HIDDEN)):
        model = net()
        fit(model, [callback], initial_epoch=4)
        assert (kernel(model) != 0).all()
        assert "_kerasreg_scope" not in model.__dict__


@TENSORFLOW
def test_data_that_run_out_or_have_no_length_get_advice():
    import tensorflow as tf

    def data(batches):
        def rows():
            for _ in range(batches):
                yield np.ones((8, 6), "float32"), np.ones((8, 1), "float32")

        kinds = (tf.TensorSpec((8, 6)), tf.TensorSpec((8, 1)))
        return tf.data.Dataset.from_generator(rows, output_signature=kinds)

    for advice in (r"assert_cardinality", r"\.repeat\(\)"):
        with pytest.raises(ValueError, match=advice):
            net().fit(data(4), epochs=4, verbose=0, shuffle=False, callbacks=[Pruning(0.5)])
    pruning = Pruning(0.5, **HIDDEN)
    found = told(
        lambda: net().fit(
            data(4), epochs=4, steps_per_epoch=4, verbose=0, shuffle=False, callbacks=[pruning]
        )
    )
    text = next(each for each in found if "`Pruning`" in each)
    assert "50.0% zeros" in text
    assert ".repeat()" in text
    known = data(4).apply(tf.data.experimental.assert_cardinality(4))
    model = net()
    assert (
        told(lambda: model.fit(known, epochs=4, verbose=0, shuffle=False, callbacks=[Pruning(0.5)]))
        == []
    )
    assert (kernel(model) == 0).sum() == 24


def test_an_unfinished_ramp_of_penalties_is_warned_about():
    model = net(kernel_regularizer=kerasreg.regularizers.L1(0.01))
    (text,) = told(lambda: fit(model, [PenaltySchedule(warmup_steps=8, ramp_steps=16)]))
    assert "scale of 0.4375" in text
    assert "24 steps" in text
    assert told(lambda: fit(model, [PenaltySchedule(warmup_steps=8, ramp_steps=8), Stop(3)])) == []


def test_a_loop_that_ends_before_its_schedule_is_warned_about():
    model = net()

    def loop():
        variables = model.trainable_variables
        with kerasreg.pruning(model, model.optimizer, LINEAR, steps=16, **HIDDEN) as loop:
            for _ in range(8):
                model.optimizer.apply([keras.ops.zeros(v.shape) for v in variables], variables)
                loop.step()

    (text,) = told(loop)
    assert "75.0% zeros, but the model has 50.0%: the run ended after 8 steps" in text


def test_the_default_frequency_gives_20_to_41_prunings():
    """20 to 41 times on any ramp that is long enough, and the same when a fit goes on."""
    for steps in (40, 160, 161, 1_000, 123_457):
        timeline = schedules.Polynomial(0.9).timeline(schedules_run(steps))
        times = timeline.due(steps)
        assert 20 <= len(times) - 1 <= 40 or steps < 54
        assert times[-1] == 3 * steps // 4
        assert timeline.sparsity(times[-1]) == 0.9
    assert schedules.Constant(0.5).timeline(schedules_run(None)).frequency == 100
    assert schedules.Linear(0.5, end_step=12).timeline(schedules_run(16)).due(16) == [*range(13)]


def schedules_run(steps):
    from kerasreg._pruning.timeline import Run

    return Run(steps)


def test_a_ramp_of_few_prunings_is_warned_about():
    for frequency, times in ((100, 2), (50, 3)):
        pruning = Pruning(schedules.Polynomial(0.9, frequency=frequency))
        with pytest.warns(UserWarning, match=f"prunes only {times} times .* remove `frequency="):
            pruning.plan(net(), steps=160, print_fn=lambda text: None)
    for schedule in (0.9, schedules.Polynomial(0.9, frequency=10), schedules.OneShot(0.5, 3)):
        Pruning(schedule).plan(net(), steps=160, print_fn=lambda text: None)


class KilledError(Exception):
    pass


class Kill(callbacks.Callback):
    prunes_weights = False

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KilledError


class Quality(callbacks.Callback):
    prunes_weights = True

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs["quality"] = self.values[epoch]


def until(**kwargs):
    return PruneUntil("quality", 0.05, (0.25, 0.5, 0.75), mode="max", **HIDDEN, **kwargs)


def test_prune_until_warns_of_weights_that_another_callback_restored():
    model, scores, pruning = net("adam"), Scores(0), until()
    found = told(lambda: fit(model, [scores, pruning, stopping()], epochs=9))
    assert_best(model, scores)
    assert pruning.sparsity == (kernel(model) == 0).mean() == 0.0
    assert "returned to a sparsity of 0.75, but the model now has 0.0% zeros" in found[0]


def test_prune_until_warns_that_it_was_stopped():
    model, pruning = net("adam"), until()
    (text,) = told(lambda: fit(model, [Quality([1.0] * 9), pruning, Stop(1)], epochs=9))
    assert pruning.sparsity == 0.25
    assert (kernel(model) == 0).sum() == 12
    assert "was stopped at a sparsity of 0.25" in text


def test_prune_until_sets_the_averages_of_the_last_good_epoch():
    """Those of the last good epoch, as Keras ends a fit with `use_ema`."""
    model = net(optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9))
    kept = []

    class Averages(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            _ = self.model
            averages = self.model.optimizer._model_variables_moving_average
            kept.append([np.array(keras.ops.convert_to_numpy(v)) for v in averages])

    averages = Averages()
    averages.prunes_weights = True
    fit(model, [Quality([0.9, 0.9, 0.9, 0.1]), averages, until()], epochs=9)
    for now, then in zip(model.get_weights(), kept[2], strict=True):
        np.testing.assert_array_equal(now, then)
    assert (kernel(model) == 0).sum() == 24


def test_prune_until_resumes_after_a_kill(tmp_path):
    """Same levels, same baseline, same last good model as without the kill."""
    values, ends = [0.8, 0.9, 0.5, 0.88, 0.87, 0.1, 0.1], []
    for kills in ((), (1,), (3,), (5,), (6,), (2, 4)):
        folder = tmp_path / "".join(map(str, kills))
        for at in (*kills, None):
            model, pruning = net("adam"), until(epochs=2)
            every = [callbacks.BackupAndRestore(folder), Quality(values), pruning]
            if at is None:
                fit(model, every, epochs=9)
            else:
                with pytest.raises(KilledError):
                    fit(model, [*every, Kill(at)], epochs=9)
        ends.append((pruning.history, pruning.baseline, pruning.sparsity, kernel(model)))
    (history, baseline, sparsity, weights), *others = ends
    assert (baseline, sparsity, len(history)) == (0.9, 0.5, 7)
    for other in others:
        assert other[:3] == (history, baseline, sparsity)
        np.testing.assert_array_equal(other[3], weights)


def test_invalid_input_raises_immediately():
    for call, text in (
        (lambda: until(baseline=float("nan")), "baseline=nan"),
        (lambda: until(baseline="best"), "baseline='best'"),
        (lambda: Pruning(0.5, include="("), r"`include` must be a regular expression"),
        (lambda: Pruning(0.5, exclude=5), r"`exclude` must be a regular expression"),
        (lambda: ThresholdPruning(0.1, include="["), r"`include` must be a regular expression"),
        (
            lambda: kerasreg.prune_below(net(), {"*": 0.1}),
            "`threshold` must be a dict with",
        ),
        (lambda: Pruning(0.5, min_units=-1), "`min_units` must be an int"),
        (lambda: Pruning(0.5, min_units=True), "`min_units` must be an int"),
        (lambda: Pruning(0.5, scope=["global"]), "`scope` must be"),
        (lambda: Pruning(0.5).plan(net(), steps=float("inf")), "steps=inf"),
        (lambda: Pruning(0.5).plan(net(), steps=-1), "steps=-1"),
        (lambda: Pruning(0.5).plan(net()), r"`plan\(model, steps=\.\.\.\)`"),
        (lambda: plan(lambda step: np.array([0.1, 0.5])), r"the schedule in step 0"),
        (lambda: plan(lambda step: float("nan")), r"the schedule in step 0.*nan"),
        (lambda: plan(lambda step: "half"), r"the schedule in step 0.*half"),
        (lambda: plan(schedules.OneShot(0.5, 500)), "prunes once, after 500 steps, but"),
    ):
        with pytest.raises(ValueError, match=text):
            call()
    # A number of any backend is one.
    plan(lambda step: keras.ops.convert_to_tensor(min(0.5, step / 20)))
    plan(lambda step: np.float32(0.5))


def plan(schedule):
    return Pruning(schedule).plan(net(), steps=40, print_fn=lambda text: None)
