"""N:M along any axis: at the end, on the way there, and from weights that are dead already."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kerasreg
from kerasreg._pruning.ranking import weakest
from kerasreg.patterns import NM
from kerasreg.schedules import Constant


@st.composite
def cases(draw):
    m = draw(st.integers(2, 6))
    n = draw(st.integers(1, m - 1))
    shape = draw(st.lists(st.integers(1, 4), min_size=0, max_size=3))
    axis = draw(st.integers(0, len(shape)))
    shape.insert(axis, draw(st.integers(m, 3 * m)))
    return NM(n, m, axis=axis - draw(st.sampled_from([0, len(shape)]))), tuple(shape)


def bind(pattern, shape):
    return pattern.bind(np.empty(shape), {})


def rows_of(array, pattern):
    """One row per `m` weights; the last may be shorter."""
    lines = np.moveaxis(array, pattern.axis, -1).reshape(-1, array.shape[pattern.axis])
    return [
        line[start : start + pattern.m]
        for line in lines
        for start in range(0, len(line), pattern.m)
    ]


def allowed(row, pattern):
    return max(0, len(row) - pattern.n)


def prune(units, scores, sparsity, alive=None):
    chosen = weakest(units.scores(scores, alive), units.prunable(sparsity))
    return ~units.spread(chosen)


@given(cases(), st.integers(0, 9))
def test_at_the_end_the_best_n_of_every_m_are_left(case, seed):
    pattern, shape = case
    scores = np.random.default_rng(seed).permutation(math.prod(shape)).reshape(shape) + 0.5
    alive = prune(bind(pattern, shape), scores, pattern.final)
    for row, kept in zip(rows_of(scores, pattern), rows_of(alive, pattern), strict=True):
        assert sorted(row[kept]) == sorted(row)[allowed(row, pattern) :]


@given(cases(), st.integers(0, 9))
def test_equal_scores_leave_n_of_every_m_too(case, seed):
    pattern, shape = case
    scores = np.random.default_rng(seed).integers(0, 2, shape).astype("float32")
    for row in rows_of(prune(bind(pattern, shape), scores, pattern.final), pattern):
        assert np.count_nonzero(~row) == allowed(row, pattern)


@given(cases(), st.floats(0, 1), st.integers(0, 9))
def test_on_the_way_the_lowest_candidates_go(case, progress, seed):
    pattern, shape = case
    units = bind(pattern, shape)
    scores = np.random.default_rng(seed).permutation(math.prod(shape)).reshape(shape) + 0.5
    alive = prune(units, scores, progress * pattern.final)
    rows = rows_of(scores, pattern)
    candidates = sorted(s for row in rows for s in sorted(row)[: allowed(row, pattern)])
    assert units.limit == len(candidates)
    gone = sorted(scores[~alive])
    assert gone == candidates[: len(gone)]
    assert abs(len(gone) - progress * len(candidates)) <= 0.5 + 1e-9


@given(cases(), st.lists(st.floats(0, 1), min_size=1, max_size=5).map(sorted), st.integers(0, 9))
def test_scores_that_change_on_the_way(case, progresses, seed):
    pattern, shape = case
    rng = np.random.default_rng(seed)
    units, alive = bind(pattern, shape), np.ones(shape, bool)
    for progress in [*progresses, 1.0]:
        before, alive = alive, prune(units, rng.random(shape), progress * pattern.final, alive)
        assert not (alive & ~before).any()
        assert np.count_nonzero(~alive) == units.prunable(progress * pattern.final)
    for row in rows_of(alive, pattern):
        assert np.count_nonzero(~row) == allowed(row, pattern)


def net(shape):
    model = keras.Sequential([keras.Input((shape[0],)), keras.layers.Dense(shape[1], name="a")])
    model.layers[0].kernel.assign(np.random.default_rng(0).normal(size=shape))
    return model


def kernel(model):
    return keras.ops.convert_to_numpy(model.layers[0].kernel)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("score", ["magnitude", "random"])
def test_more_zeros_than_required_stay_and_do_not_affect_other_rows(scope, score):
    model = net((8, 6))
    start = kernel(model).copy()
    start[:4, :3] = 0
    model.layers[0].kernel.assign(start)
    plan = kerasreg.prune(model, pattern="2:4", score=score, scope=scope)
    zeros = (kernel(model) == 0).reshape(2, 4, 6).sum(1)
    np.testing.assert_array_equal(zeros, [[4, 4, 4, 2, 2, 2], [2] * 6])
    row = next(iter(plan))
    assert (row.zeros, row.pruned) == (30, 30)


def test_a_sparsity_of_a_third_is_exact_in_large_variables():
    with pytest.raises(ValueError, match=r"1:3 has a sparsity of 0\.6666666666666667"):
        kerasreg.prune(net((9, 4)), 0.666667, pattern=NM(1, 3))
    for given_sparsity in (None, 2 / 3, 1 - 1 / 3):
        model = net((9, 4))
        kerasreg.prune(model, given_sparsity, pattern=NM(1, 3))
        assert ((kernel(model) == 0).reshape(3, 3, 4).sum(1) == 2).all()


def test_padded_and_short_axes_are_reported():
    model = net((10, 3))
    plan = kerasreg.prune(model, pattern="2:4")
    assert next(iter(plan)).remark == "the last 2 of 10 weights along axis 0 count as 4"
    assert next(iter(plan)).zeros == 12
    with pytest.raises(ValueError, match="axis 0 has 3 weights, 2:4 needs 4"):
        kerasreg.prune(net((3, 8)), pattern="2:4")


def test_another_sparsity_or_scope_raises():
    for arguments in ({"sparsity": 0.6}, {"scope": "erk"}, {"scope": {"kernel": 0.5}}):
        with pytest.raises(
            ValueError, match=r"2:4 has a sparsity of 0\.5|same sparsity everywhere"
        ):
            kerasreg.prune(net((8, 4)), pattern="2:4", **arguments)
    with pytest.raises(ValueError, match=r"Received: a final sparsity of 0\.75"):
        kerasreg.callbacks.Pruning(Constant(0.75), "2:4")


def test_the_default_axis_is_the_one_that_is_summed_over():
    inputs = keras.Input((4, 8))
    x = keras.layers.Conv1D(8, 2, name="conv")(inputs)
    x = keras.layers.Conv1DTranspose(4, 2, name="back")(x)
    x = keras.layers.MultiHeadAttention(2, 4, name="mha")(x, x)
    model = keras.Model(inputs, x, name="net")
    kerasreg.prune(model, pattern="2:4")
    axes = {"conv": 1, "back": 2, "query": 0, "value": 0, "attention_output": 1}
    for variable in model.trainable_variables:
        name = variable.path.split("/")[-2]
        if name in axes and variable.name == "kernel":
            rows = np.moveaxis(keras.ops.convert_to_numpy(variable), axes[name], -1)
            assert ((rows.reshape(-1, 4) == 0).sum(1) == 2).all(), variable.path
