"""The penalty of whole units: its optimum, its zeros, and the smaller model."""

import keras
import numpy as np
import pytest
from couplings import residual
from event_files import read
from keras import layers, ops, optimizers
from shrinkable import randomize

import kerasreg
from kerasreg.callbacks import (
    CoupledGroupLasso,
    PenaltySchedule,
    ProximalGradient,
    Pruning,
    SparsityLogger,
)

FACTOR = 0.15
a_width_dies = pytest.mark.filterwarnings("ignore:After epoch .* every weight is zero:UserWarning")


def convex():
    """Units that two layers compute together, linear, read by a layer that does not train."""
    x = [keras.Input((6,)), keras.Input((4,))]
    y = layers.Add()([layers.Dense(8, name="a")(x[0]), layers.Dense(8, name="b")(x[1])])
    model = randomize(keras.Model(x, layers.Dense(8, name="c", trainable=False)(y)))
    reader = model.get_layer("c").kernel
    reader.assign(np.eye(8) + 0.4 * ops.convert_to_numpy(reader))
    return model


def data(samples=40):
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(samples, size)).astype("float32") for size in (6, 4)]
    mix = rng.normal(size=(6, 2)) @ rng.normal(size=(2, 8))
    return x, (x[0] @ mix + 0.1 * rng.normal(size=(samples, 8))).astype("float32")


def numpy(variable):
    return np.asarray(ops.convert_to_numpy(variable)).astype("float64")


def gradients(model, x, y):
    """Of the mean squared error, by hand: `{name of a layer: (kernel, bias)}`."""
    kernel, bias = numpy(model.get_layer("c").kernel), numpy(model.get_layer("c").bias)
    units = sum(
        each @ numpy(model.get_layer(name).kernel) + numpy(model.get_layer(name).bias)
        for each, name in zip(x, "ab", strict=True)
    )
    slopes = 2 * (units @ kernel + bias - y) @ kernel.T / y.size
    return {name: (each.T @ slopes, slopes.sum(axis=0)) for each, name in zip(x, "ab", strict=True)}


def rows(parts):
    """One row per unit."""
    return np.concatenate([part.reshape(-1, 8) for name in "ab" for part in parts[name]]).T


def fit(model, optimizer, x, y, callbacks, steps=1500):
    """Steps on all of the data."""

    def batches():
        while True:
            yield tuple(x), y

    model.compile(optimizer, "mse")
    model.fit(batches(), steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=callbacks)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: optimizers.SGD(0.5),
        lambda: optimizers.SGD(0.2, momentum=0.9),
        lambda: optimizers.Adam(0.1),
        lambda: optimizers.Adagrad(1.0),
        lambda: optimizers.RMSprop(optimizers.schedules.CosineDecay(0.1, 1500), momentum=0.5),
    ],
    ids=["sgd", "momentum", "adam", "adagrad", "rmsprop"],
)
def test_training_reaches_the_optimum_of_the_written_objective(optimizer):
    model, (x, y) = convex(), data()
    fit(model, optimizer(), x, y, [CoupledGroupLasso(FACTOR)])
    weights = rows({name: map(numpy, model.get_layer(name).weights) for name in "ab"})
    slopes = rows(gradients(model, x, y))
    threshold = FACTOR * np.sqrt(6 + 1 + 4 + 1)
    norms = np.linalg.norm(weights, axis=1)
    dead = (weights == 0).all(axis=1)
    assert dead.sum() == 2
    # Where a unit is zero, the slope is below the threshold; elsewhere they cancel.
    assert (np.linalg.norm(slopes[dead], axis=1) <= threshold).all()
    expected = -threshold * weights[~dead] / norms[~dead, None]
    np.testing.assert_allclose(slopes[~dead], expected, atol=1e-5)


def test_one_step_matches_numpy():
    model, (x, y) = convex(), data()
    before = rows({name: map(numpy, model.get_layer(name).weights) for name in "ab"})
    moved = before - 0.5 * rows(gradients(model, x, y))
    fit(model, optimizers.SGD(0.5), x, y, [CoupledGroupLasso(1.0)], steps=1)
    norms = np.linalg.norm(moved, axis=1, keepdims=True)
    expected = moved * np.maximum(1 - 0.5 * np.sqrt(12) / norms, 0)
    after = rows({name: map(numpy, model.get_layer(name).weights) for name in "ab"})
    np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(after == 0, expected == 0)


def test_with_l1_it_is_the_sparse_group_lasso():
    for order in (1, -1):
        model, (x, y) = convex(), data()
        kerasreg.attach(model, {"[ab]/": kerasreg.regularizers.L1(0.1)})
        before = rows({name: map(numpy, model.get_layer(name).weights) for name in "ab"})
        moved = before - 0.5 * rows(gradients(model, x, y))
        callbacks = [CoupledGroupLasso(0.3), ProximalGradient()][::order]
        with pytest.warns(UserWarning, match="bias"):
            fit(model, optimizers.SGD(0.5), x, y, callbacks, steps=1)
        kept = np.sign(moved) * np.maximum(np.abs(moved) - 0.05, 0)
        norms = np.linalg.norm(kept, axis=1, keepdims=True)
        expected = kept * np.maximum(1 - 0.5 * 0.3 * np.sqrt(12) / norms, 0)
        after = rows({name: map(numpy, model.get_layer(name).weights) for name in "ab"})
        np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("order", [1, -1])
def test_the_logged_penalty_is_that_of_the_loss(order, tmp_path):
    model, (x, y) = convex(), data()
    lasso, logger = CoupledGroupLasso(FACTOR), SparsityLogger(tmp_path, include="a/")
    history = keras.callbacks.History()
    fit(model, optimizers.SGD(0.5), x, y, [lasso, logger, history][::order], steps=20)
    units = rows({name: map(numpy, model.get_layer(name).weights) for name in "ab"})
    penalty = FACTOR * np.sqrt(12) * np.linalg.norm(units, axis=1).sum()
    (name,) = lasso.penalties()
    assert lasso.penalties() == {name: pytest.approx(penalty, rel=1e-5)}
    assert history.history["penalty"] == [pytest.approx(penalty, rel=1e-5)]
    tags = read(tmp_path / "train")
    assert tags[f"penalty/coupled/{name}"][-1][1] == pytest.approx(penalty, rel=1e-5)
    assert tags["total/penalty"] == tags[f"penalty/coupled/{name}"]


def trained(callbacks, steps=6, **kwargs):
    """The units and the logs."""
    model, (x, y) = convex(), data()
    history = keras.callbacks.History()
    fit(model, optimizers.SGD(0.5, **kwargs), x, y, [*callbacks, history], steps)
    return rows({name: map(numpy, model.get_layer(name).weights) for name in "ab"}), history.history


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_schedule_scales_the_penalty(order, momentum):
    callbacks = [CoupledGroupLasso(0.8), PenaltySchedule(lambda step: 0.5)][::order]
    units, logs = trained(callbacks, steps=20, momentum=momentum)
    expected, plain = trained([CoupledGroupLasso(0.4)], steps=20, momentum=momentum)
    np.testing.assert_allclose(units, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(units == 0, expected == 0)
    assert 0 < (units == 0).sum() < units.size
    np.testing.assert_allclose(logs["loss"], plain["loss"], rtol=1e-5)
    assert logs["penalty_scale"] == [0.5]


def test_there_is_no_penalty_during_warmup():
    expected, logs = trained([])
    for steps, is_penalised in ((6, False), (7, True)):
        lasso = [CoupledGroupLasso(2.0), PenaltySchedule(warmup_steps=6, include="^a$")]
        units, found = trained(lasso, steps)
        assert (units == 0).any() == is_penalised
        if not is_penalised:
            np.testing.assert_allclose(units, expected, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(found["loss"], logs["loss"], rtol=1e-5)


def test_evaluation_uses_the_unscaled_penalty():
    model, (x, y) = convex(), data()
    model.compile(optimizers.SGD(0.0), "mse")
    lasso = CoupledGroupLasso(0.3)
    history = model.fit(
        *(x, y),
        verbose=0,
        batch_size=40,
        validation_data=(x, y),
        callbacks=[PenaltySchedule(lambda step: 0.25), lasso],
    ).history
    (penalty,) = lasso.penalties().values()
    difference = history["val_loss"][0] - history["loss"][0]
    assert difference == pytest.approx(0.75 * penalty, rel=1e-4)


def test_schedules_without_groups_and_overlapping_schedules_raise():
    with pytest.raises(
        ValueError, match=r"or a CoupledGroupLasso in the same fit.*groups are \['a'\]"
    ):
        trained([PenaltySchedule(include="nothing"), CoupledGroupLasso(0.3)])
    with pytest.raises(ValueError, match=r"for each coupled group.*several for \['a'\]"):
        trained([PenaltySchedule(), PenaltySchedule(include="b/"), CoupledGroupLasso(0.3)])


def test_penalties_are_empty_before_the_first_fit():
    assert CoupledGroupLasso().penalties() == {}


def test_a_width_of_zeros_is_warned_about_once():
    model, (x, y) = convex(), data()
    model.compile(optimizers.SGD(0.5), "mse")
    with pytest.warns(UserWarning, match="After epoch 1 every weight is zero in a:") as found:
        model.fit(x, y, epochs=3, verbose=0, callbacks=[CoupledGroupLasso(10.0)])
    assert sum("every weight is zero" in str(each.message) for each in found) == 1


def images(samples=64):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, samples)
    x = rng.normal(size=(samples, 8, 8, 3)) + np.eye(5)[y][:, :3].reshape(-1, 1, 1, 3)
    return x.astype("float32"), y


@a_width_dies
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_shrink_makes_a_residual_network_narrower(optimizer):
    model, (x, y) = residual(), images()
    rate = {"adam": 0.01, "sgd": 0.3}[optimizer]
    model.compile(
        {"class_name": optimizer, "config": {"learning_rate": rate}},
        "sparse_categorical_crossentropy",
    )
    model.layers[-1].activation = keras.activations.softmax
    lasso = CoupledGroupLasso(0.02)
    model.fit(x, y, batch_size=16, epochs=30, verbose=0, callbacks=[lasso])
    assert [group.name for group in lasso.groups] == ["stem", "a1", "b1"]
    assert lasso.skipped == {}
    kept = {}
    for group in kerasreg.coupled_groups(model):
        values = [each.gather(numpy(each.variable)) for each in group.producers]
        alive = (np.concatenate(values, axis=1) != 0).any(axis=1)
        kept[group.name] = int(alive.sum())
        # All or nothing.
        for each in values:
            assert (each[~alive] == 0).all()
    assert sum(kept.values()) < 8 + 12 + 12
    small, report = kerasreg.shrink(model)
    widths = {group.name: group.units for group in kerasreg.coupled_groups(small)}
    assert widths == {name: max(count, 1) for name, count in kept.items()}
    assert report.difference < 1e-4


def test_model_and_optimizer_are_restored_after_the_fit():
    model, (x, y) = convex(), data()
    fit(model, optimizers.SGD(0.02, momentum=0.9), x, y, [CoupledGroupLasso(FACTOR)], steps=3)
    assert model.losses == []
    assert not {"train_step", "_get_regularization_losses"} & set(vars(model))
    assert len(model.optimizer.variables) == 2 + 4
    plain = model.evaluate(x, y, verbose=0)
    assert plain == pytest.approx(np.square(ops.convert_to_numpy(model(x)) - y).mean(), rel=1e-5)


def test_the_validation_loss_contains_the_penalty():
    model, (x, y) = convex(), data()
    model.compile(optimizers.SGD(0.0), "mse")
    history = model.fit(
        *(x, y), validation_data=(x, y), verbose=0, callbacks=[CoupledGroupLasso(FACTOR)]
    ).history
    weights = rows({name: map(numpy, model.get_layer(name).weights) for name in "ab"})
    penalty = FACTOR * np.sqrt(12) * np.linalg.norm(weights, axis=1).sum()
    error = model.evaluate(x, y, verbose=0)
    assert penalty > 1
    assert history["loss"][0] == pytest.approx(error + penalty, rel=1e-5)
    assert history["val_loss"][0] == pytest.approx(error + penalty, rel=1e-5)


def test_the_train_step_is_not_traced_again():
    model, (x, y) = convex(), data()
    calls = []

    class Counted(CoupledGroupLasso):
        def on_epoch_end(self, epoch, logs=None):
            calls.append(self._session._update.calls)
            super().on_epoch_end(epoch, logs)

    model.compile(optimizers.Adam(0.01), "mse")
    model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[Counted(FACTOR)])
    if keras.backend.backend() != "torch":
        assert calls[0] == calls[-1] <= 2


def test_pruned_units_stay_zero():
    model, (x, y) = residual(), images()
    model.compile(optimizers.Adam(0.01), "mse")
    callbacks = [CoupledGroupLasso(1e-4), Pruning(0.5, pattern="coupled")]
    model.fit(x, np.eye(5)[y], batch_size=16, epochs=3, verbose=0, callbacks=callbacks)
    for group in kerasreg.coupled_groups(model):
        assert (group.gather() == 0).all(axis=1).sum() >= group.units // 2


def attention():
    x = keras.Input((7, 6))
    y = layers.MultiHeadAttention(4, 6, name="mha")(x, x)
    y = layers.Dense(3, name="head")(layers.GlobalAveragePooling1D()(y))
    return randomize(keras.Model(x, y))


@a_width_dies
def test_whole_heads_become_zero():
    model = attention()
    model.compile(optimizers.Adam(0.02), "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 7, 6)), rng.normal(size=(32, 3))
    lasso = CoupledGroupLasso(0.05, include="mha/(query|value)")
    model.fit(x, y, batch_size=32, epochs=150, verbose=0, callbacks=[lasso])
    assert [group.name for group in lasso.groups] == ["mha/query"]
    assert (
        lasso.skipped["mha/query_2"]
        == "it shares weights with 'mha/query', which is penalised already"
    )
    kernel = numpy(lasso.groups[0].members[0].variable)
    heads = int((kernel != 0).any(axis=(0, 2)).sum())
    assert heads < 4
    small, _ = kerasreg.shrink(model)
    assert kerasreg.coupled_groups(small)["mha/query"].units == max(heads, 1)


def test_frozen_and_excluded_widths_are_skipped():
    model, (x, y) = residual(), images(8)
    model.get_layer("a2_norm").trainable = False
    model.compile("sgd", "mse")
    lasso = CoupledGroupLasso(0.01, exclude="b1/")
    model.fit(x, np.eye(5)[y], verbose=0, callbacks=[lasso])
    assert [group.name for group in lasso.groups] == ["a1"]
    assert lasso.skipped == {
        "stem": "'a2_norm/gamma' is not trainable",
        "b1": "`exclude` matches it",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"include": "nothing"}, "`include` must be found"),
        ({"exclude": "stem|1"}, "no coupled units to penalise"),
    ],
)
def test_arguments_without_a_match_raise_at_the_start(arguments, message):
    model, (x, y) = residual(), images(8)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=message):
        model.fit(x, np.eye(5)[y], verbose=0, callbacks=[CoupledGroupLasso(**arguments)])
    assert "train_step" not in vars(model)


def test_a_negative_factor_raises():
    with pytest.raises(ValueError, match="`factor` must be"):
        CoupledGroupLasso(-1.0)


@a_width_dies
def test_a_group_of_a_single_variable_becomes_zero():
    """An embedding is all that computes its units."""
    x = keras.Input((5,), dtype="int32")
    y = layers.Flatten()(layers.Embedding(12, 8, name="table")(x))
    model = keras.Model(x, layers.Dense(1, name="head")(y))
    model.compile(optimizers.SGD(0.1), "mse")
    rng = np.random.default_rng(0)
    words = rng.integers(0, 12, (32, 5))
    lasso = CoupledGroupLasso(10.0)
    model.fit(words, rng.normal(size=(32, 1)), epochs=2, verbose=0, callbacks=[lasso])
    assert not numpy(model.get_layer("table").weights[0]).any()
