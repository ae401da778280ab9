"""Exact zeros after every step, as many as were asked for, whatever trains the model."""

import keras
import needs
import numpy as np
import pytest
from keras import layers, optimizers
from watched import (
    BACKEND,
    PLAIN,
    Interrupt,
    Watch,
    attributes,
    fit,
    kernel,
    net,
    trained,
    without_updates,
)

import kerasreg
from kerasreg import patterns, schedules
from kerasreg._pruning.calibration import loss_gradients
from kerasreg._pruning.timeline import Run
from kerasreg._train_step import UpdateHook
from kerasreg.callbacks import ProximalGradient, Pruning, ThresholdPruning

#: 16 steps in four epochs: pruned after 2, 4, 6, 8 and 9.
RAMP = schedules.Polynomial(0.75, begin_step=2, end_step=9, frequency=2)
HIDDEN = {"include": "hidden/kernel"}


def kernel_of(model):
    return model.get_layer("hidden").kernel


def assert_pruned(watch, schedule=RAMP, size=48):
    """After every step, the zeros are those of the schedule, and none comes back."""
    timeline = schedule.timeline(Run(16, 4))
    dead = np.zeros((6, 8), bool)
    for step, weights in enumerate(watch.batches, start=1):
        assert (weights[dead] == 0).all()
        dead = weights == 0
        due = timeline.last_due(step)
        expected = 0 if due is None else timeline.sparsity(due) * size
        assert dead.sum() == np.floor(expected + 0.5)
    assert dead.sum() == 36
    # The others go on training.
    assert (watch.batches[-1] != watch.batches[-2])[~dead].all()


OPTIMIZERS = {
    "SGD": lambda: optimizers.SGD(0.05),
    "momentum": lambda: optimizers.SGD(0.05, momentum=0.9),
    "Nesterov": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "Adam": lambda: optimizers.Adam(0.01),
    "AMSGrad": lambda: optimizers.Adam(0.01, amsgrad=True),
    "AdamW": lambda: optimizers.AdamW(0.01, weight_decay=0.1),
    "Nadam": lambda: optimizers.Nadam(0.01),
    "Adamax": lambda: optimizers.Adamax(0.01),
    "Adagrad": lambda: optimizers.Adagrad(0.05),
    "Adadelta": lambda: optimizers.Adadelta(1.0),
    "Adafactor": lambda: optimizers.Adafactor(0.01),
    "RMSprop": lambda: optimizers.RMSprop(0.01, momentum=0.9, centered=True),
    "Lion": lambda: optimizers.Lion(0.01),
    "Lamb": lambda: optimizers.Lamb(0.01),
    "Ftrl": lambda: optimizers.Ftrl(0.05),
    "Muon": lambda: optimizers.Muon(0.01),
    "averages": lambda: optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9),
    "averages, overwriting": lambda: optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=3),
    "clipped": lambda: optimizers.Adam(0.01, global_clipnorm=0.1),
    "a schedule": lambda: optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 40), momentum=0.9),
}
if hasattr(optimizers, "ScheduleFreeAdamW"):
    OPTIMIZERS["ScheduleFreeAdamW"] = lambda: optimizers.ScheduleFreeAdamW(0.01)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_zeros_hold_with_every_optimizer(optimizer):
    model, watch = net(optimizer()), Watch()
    before = attributes(trained(optimizer()))
    fit(model, [Pruning(RAMP, **HIDDEN), watch])
    assert_pruned(watch)
    # What `use_ema` sets when the fit ends has the zeros too.
    assert (kernel(model)[watch.batches[-1] == 0] == 0).all()
    assert attributes(model) == before


# What Adafactor has per weight comes from rows and columns.
WITH_SLOTS = [name for name in OPTIMIZERS if name not in ("SGD", "Adafactor")]


@pytest.mark.parametrize("name", WITH_SLOTS)
def test_optimizer_slots_of_pruned_weights_are_cleared(name):
    """After every step: at once when a weight dies, and for as long as it is dead."""
    model = net(OPTIMIZERS[name]())
    seen = []

    class Slots(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            layer = self.model.get_layer("hidden")
            dead = kernel(self.model) == 0
            for slot, initial in UpdateHook.of(self.model.optimizer).slots_of(layer.kernel):
                values = np.array(keras.ops.convert_to_numpy(slot))
                seen.append(dead.any() and (values != initial)[~dead].any())
                np.testing.assert_array_equal(values[dead], np.float32(initial))

    fit(model, [Pruning(RAMP, **HIDDEN), Slots()])
    assert any(seen)


COMPILE = {"eager": {"run_eagerly": True}}
if BACKEND != "torch":
    COMPILE["XLA"] = {"jit_compile": True}


@pytest.mark.parametrize("mode", COMPILE.values(), ids=COMPILE)
def test_zeros_hold_in_every_mode(mode):
    model, watch = net(), Watch()
    model.compile(optimizers.SGD(0.05, momentum=0.9), "mse", **mode)
    fit(model, [Pruning(RAMP, **HIDDEN), watch])
    assert_pruned(watch)


@needs.SEVERAL_STEPS
def test_with_steps_per_execution_the_final_sparsity_is_reached():
    """Between two executions only; the last sparsity is reached all the same."""
    model, watch, pruning = net(), Watch(), Pruning(RAMP, **HIDDEN)
    model.compile("adam", "mse", steps_per_execution=4, **PLAIN)
    fit(model, [pruning, watch])
    assert [int((w == 0).sum()) for w in watch.batches] == [
        round(48 * pruning.pruned[step]) for step in (4, 8, 9, 9)
    ]
    assert pruning.pruned[9] == 0.75


def test_zeros_hold_in_mixed_precision():
    model, watch = net(dtype="mixed_float16"), Watch()
    model.compile(optimizers.LossScaleOptimizer(optimizers.Adam(0.01)), "mse", **PLAIN)
    fit(model, [Pruning(RAMP, **HIDDEN), watch])
    dead = watch.batches[-1] == 0
    assert dead.sum() == 36
    assert all((w[watch.batches[8] == 0] == 0).all() for w in watch.batches[8:])


def test_accumulated_gradients_count_as_one_step():
    model, watch = net(optimizers.SGD(0.1, 0.9, gradient_accumulation_steps=2)), Watch()
    pruning = Pruning(schedules.Linear(0.75, begin_step=2, end_step=6, frequency=2), **HIDDEN)
    fit(model, [pruning, watch])
    assert list(pruning.pruned) == [4, 6]
    assert [int((w == 0).sum()) for w in watch.batches] == [0] * 7 + [18] * 4 + [36] * 5


def test_zeros_hold_with_several_optimizers():
    parts = {".*hidden.*": optimizers.SGD(0.05, momentum=0.9)}
    optimizer = optimizers.MultiOptimizer(optimizers.OptimizerMap(optimizers.Adam(0.01), parts))
    model, watch = net(optimizer), Watch()
    fit(model, [Pruning(RAMP, include="kernel"), watch])
    assert_pruned(watch)
    assert (np.array(model.get_layer("head").kernel) == 0).sum() == 6


def test_pruned_weights_do_not_move_the_others():
    """Training with masks is training of the smaller model."""
    sparse, dense = net(optimizers.Adam(0.01)), net(optimizers.Adam(0.01))
    units = patterns.Group("input")
    fit(sparse, [Pruning(schedules.OneShot(0.5), units, **HIDDEN)])
    alive = (kernel(sparse) != 0).any(axis=1)
    assert alive.sum() == 3

    smaller = keras.Sequential([keras.Input((3,)), layers.Dense(8, "tanh"), layers.Dense(1)])
    first, *others = [np.array(each) for each in dense.get_weights()]
    smaller.set_weights([first[alive], *others])
    smaller.compile(optimizers.Adam(0.01), "mse", **PLAIN)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(32, 6)), rng.normal(size=(32, 1))
    smaller.fit(x[:, alive], y, batch_size=8, epochs=4, verbose=0, shuffle=False)
    np.testing.assert_allclose(kernel(sparse)[alive], smaller.get_weights()[0], atol=1e-6)


def test_pruning_combines_with_the_prox():
    model = net(optimizers.Adam(0.01), kernel_regularizer=kerasreg.regularizers.L1(0.01))
    watch = Watch()
    fit(model, [ProximalGradient(), Pruning(schedules.OneShot(0.5, 4), **HIDDEN), watch])
    dead = watch.batches[3] == 0
    assert dead.sum() == 24
    assert all((w[dead] == 0).all() for w in watch.batches[4:])
    # Elsewhere the penalty makes zeros of its own, and the objective is what was written.
    assert isinstance(model.get_layer("hidden").kernel.regularizer, kerasreg.regularizers.L1)


def test_two_callbacks_prune_with_different_patterns():
    model = net()
    first = Pruning(schedules.OneShot(0.5, 4), "unit", include="hidden/kernel")
    second = Pruning(0.75, include="head/kernel")
    fit(model, [first, second])
    assert (kernel(model) == 0).all(axis=0).sum() == 4
    assert (np.array(model.get_layer("head").kernel) == 0).sum() == 6


def test_pruning_combines_with_threshold_pruning():
    model = net()
    fit(model, [ThresholdPruning(0.6), Pruning(RAMP, **HIDDEN)])
    assert (kernel(model) == 0).sum() > 36


def test_pruning_applies_only_to_its_own_fit():
    model, watch, pruning = net("adam"), Watch(), Pruning(RAMP, **HIDDEN)
    fit(model, [])
    fit(model, [pruning, watch])
    assert_pruned(watch)
    fit(model, [Pruning(schedules.Hold(), **HIDDEN), watch])
    assert all((w[kernel(model) == 0] == 0).all() for w in watch.batches)
    assert (kernel(model) == 0).sum() == 36
    fit(model, [watch])
    assert (kernel(model) != 0).all()


def test_after_an_interrupt_no_zeros_are_held():
    model, watch = net("adam"), Watch()
    with pytest.raises(KeyboardInterrupt):
        fit(model, [Pruning(schedules.OneShot(0.5), **HIDDEN), Interrupt(1)])
    assert (kernel(model) == 0).sum() == 24
    fit(model, [watch])
    assert (kernel(model) != 0).all()


def test_without_hold_weights_grow_until_the_next_pruning():
    model, watch = net(optimizers.SGD(0.05)), Watch()
    fit(model, [Pruning(schedules.Constant(0.5, frequency=4), hold=False, **HIDDEN), watch])
    zeros = [int((w == 0).sum()) for w in watch.batches]
    assert zeros == [0, 0, 0, 24, 0, 0, 0, 24, 0, 0, 0, 24, 0, 0, 0, 0]
    assert (kernel(model) == 0).sum() == 24


@pytest.mark.parametrize("by", ["gradient", "random"])
def test_regrowth_keeps_the_sparsity_and_changes_the_zeros(by):
    """As many weights at any time, but not the same."""
    model, watch = net(optimizers.SGD(0.05)), Watch()
    schedule = schedules.Constant(0.5, frequency=4, end_step=12)
    fit(model, [Pruning(schedule, regrow=by, **HIDDEN), watch])
    dead = [w == 0 for w in watch.batches]
    # A weight that was regrown is zero until its first step.
    assert [int(d.sum()) for d in dead[4::4]] == [24] * 3
    assert (dead[-1] != dead[0]).any()
    np.testing.assert_array_equal(dead[-1], dead[12])


def test_regrowth_by_gradient_chooses_the_largest():
    model, masks = net(optimizers.SGD(0.0)), []
    start = kernel(model)
    x, y = np.random.default_rng(1).normal(size=(8, 6)), np.ones((8, 1))

    class Masks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            mask = UpdateHook.of(self.model.optimizer).state["mask_0"]
            masks.append(np.array(keras.ops.convert_to_numpy(mask)).astype(bool))

    schedule = schedules.Constant(0.5, frequency=1, end_step=2)
    pruning = Pruning(schedule, regrow="gradient", regrow_fraction=0.5, **HIDDEN)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[pruning, Masks()])

    # Half of 24, and a cosine half way down: 6.
    order = np.argsort(np.abs(start), axis=None)
    dropped, living = order[24:30], order[30:]
    sparse = net()
    sparse.get_layer("hidden").kernel.assign(
        np.where(np.isin(np.arange(48), order[:24]).reshape(6, 8), 0, start)
    )
    (gradient,) = loss_gradients(sparse, [sparse.get_layer("hidden").kernel], x, y)
    others = order[:30][np.argsort(np.abs(gradient).reshape(-1)[order[:30]])]
    expected = np.isin(np.arange(48), [*living, *others[-6:]]).reshape(6, 8)
    np.testing.assert_array_equal(masks[0], expected)
    assert not np.isin(others[-6:], dropped).all()
    assert masks[0].sum() == masks[1].sum() == 24


def test_custom_schedules_scores_and_scopes_are_supported():
    model = net()
    pruning = Pruning(
        lambda step: min(0.5, step / 10),
        score=lambda variable, weights: np.arange(weights.size).reshape(weights.shape),
        scope={"head": 0.25},
    )
    with pytest.raises(ValueError, match="never prune"):
        fit(model, [pruning], epochs=0)
    fit(model, [pruning])
    np.testing.assert_array_equal(np.flatnonzero(kernel(model) == 0), np.arange(24))


def test_evaluate_and_predict_with_it_change_nothing():
    model, x, found = trained(), np.ones((8, 6)), []
    for callbacks in ([], [Pruning(0.5)]):
        model.evaluate(x, np.ones((8, 1)), verbose=0, callbacks=callbacks)
        model.predict(x, verbose=0, callbacks=callbacks)
        found.append(attributes(model))
    assert found[0] == found[1]
    assert (kernel(model) != 0).all()


def test_a_train_step_without_the_optimizer_raises():
    with pytest.raises(RuntimeError, match="applies the optimizer of `compile`"):
        fit(without_updates(), [Pruning(schedules.OneShot(0.5))])


def test_weights_set_by_another_callback_are_pruned_again():
    model, watch = net("adam"), Watch()
    late = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: kernel_of(model).assign(np.ones((6, 8)))
    )
    fit(model, [Pruning(schedules.OneShot(0.5), **HIDDEN), late, watch])
    assert all((w == 0).sum() == 24 for w in watch.epochs)
    assert (kernel(model) == 0).sum() == 24


@needs.TENSORFLOW
@pytest.mark.skipif(BACKEND == "torch", reason="Keras' export of a SavedModel fails on torch")
# What Keras passes to JAX.
@pytest.mark.filterwarnings("ignore:The `native_serialization` parameter:DeprecationWarning")
def test_a_pruned_model_exports(tmp_path):
    import tensorflow as tf

    model = net("adam")
    for _ in range(2):
        fit(model, [Pruning(RAMP, regrow="gradient", **HIDDEN)])
    model.export(tmp_path, verbose=False)
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    served = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(served.serve(x), model.predict(x, verbose=0), atol=1e-6)


class Own(optimizers.Optimizer):
    """An optimizer of someone's own, that moves every weight."""

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, learning_rate * (gradient + 1.0))


def test_zeros_hold_with_a_custom_optimizer():
    model, watch = net(Own(0.01)), Watch()
    fit(model, [Pruning(RAMP, **HIDDEN), watch])
    assert_pruned(watch)


def test_masks_need_one_byte_per_weight():
    model, sizes = net("adam"), []

    class Sizes(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            state = UpdateHook.of(self.model.optimizer).state.variables
            sizes.append(sum(np.asarray(v).nbytes for v in state.values()))

    fit(model, [Pruning(0.5), Sizes()])
    # And how often each of the two was masked, beside the number of updates.
    assert max(sizes) <= 48 + 8 + 4 + 3 * 8


@pytest.mark.parametrize("call", [
    lambda: Pruning(1.5),
    lambda: Pruning(None),
    lambda: Pruning(True),
    lambda: Pruning(0.5, "3:2"),
    lambda: Pruning(0.6, "2:4"),
    lambda: Pruning(0.5, score="size"),
    lambda: Pruning(0.5, score="snip"),
    lambda: Pruning(0.5, scope="everywhere"),
    lambda: Pruning(0.5, scope={}),
    lambda: Pruning(0.5, scope={"a": 2}),
    lambda: Pruning(0.5, regrow="hope"),
    lambda: Pruning(0.5, regrow="random", hold=False),
    lambda: Pruning(0.5, regrow="random", regrow_fraction=1),
    lambda: Pruning(None, "2:4", regrow="random"),
    lambda: Pruning(schedules.Hold(), hold=False),
], ids=range(15))  # fmt: skip
def test_invalid_arguments_raise(call):
    with pytest.raises(ValueError, match=r"Received|does nothing|Remove"):
        call()


@pytest.mark.parametrize("pruning", [
    Pruning(schedules.OneShot(0.5, 17)),
    Pruning(schedules.Polynomial(0.5, begin_step=17, end_step=20)),
    Pruning(schedules.Polynomial(0.5, begin_step=5, end_step=6, unit="epochs")),
    Pruning(lambda step: 0.0),
    Pruning(lambda step: 1.0 - step / 100, include="hidden"),
    Pruning(0.5, include="decoder"),
    Pruning(0.5, exclude="."),
    Pruning(0.5, scope={"decoder": 0.5}),
    Pruning(0.5, patterns.Group("head")),
], ids=range(9))  # fmt: skip
def test_impossible_arguments_raise_before_the_first_step(pruning):
    model = trained()
    before = attributes(model), model.get_weights()
    with pytest.raises(ValueError, match=r"`Pruning`|decrease|must be found|`scope`|`include`"):
        fit(model, [pruning])
    assert attributes(model) == before[0]
    for now, then in zip(model.get_weights(), before[1], strict=True):
        np.testing.assert_array_equal(now, then)


def test_an_unreachable_sparsity_is_warned_about():
    with pytest.warns(UserWarning, match="will not reach 75.0% zeros"):
        fit(net(), [Pruning(schedules.Linear(0.75, end_step=24, frequency=4))])
