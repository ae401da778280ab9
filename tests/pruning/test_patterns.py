"""What goes together: units, their scores and masks, against labels and loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasreg._graph.groups import Groups
from kerasreg._pruning.patterns.names import standardize_pattern
from kerasreg.patterns import NM, Block, Group, Unstructured

shapes = st.lists(st.integers(1, 6), min_size=1, max_size=5).map(tuple)


def bind(pattern, shape, **roles):
    return pattern.bind(np.empty(shape), roles)


def numbers(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def labels_of(units):
    return units.spread(np.arange(units.count))


@st.composite
def patterns(draw):
    shape = draw(shapes)
    rank = len(shape)
    axes = st.lists(st.integers(0, rank - 1), min_size=1, max_size=rank, unique=True)
    block = st.lists(st.integers(1, 4), min_size=1, max_size=rank)
    return shape, draw(
        st.just(Unstructured())
        | axes.map(lambda chosen: Group(tuple(chosen)))
        | st.builds(Block, block, st.sampled_from(["mean", "max"]))
    )


def block_labels(shape, block):
    block = (1,) * (len(shape) - len(block)) + tuple(block)
    grid = [-(-size // step) for size, step in zip(shape, block, strict=True)]
    labels = np.empty(shape, int)
    for place in np.ndindex(*shape):
        labels[place] = np.ravel_multi_index([p // b for p, b in zip(place, block)], grid)  # noqa: B905
    return labels


def group_labels(shape, axes):
    labels = np.empty(shape, int)
    for place in np.ndindex(*shape):
        kept = sorted(axes)
        labels[place] = np.ravel_multi_index([place[a] for a in kept], [shape[a] for a in kept])
    return labels


@given(patterns())
def test_units_are_those_of_a_loop_over_all_indices(case):
    shape, pattern = case
    units = bind(pattern, shape)
    if isinstance(pattern, Block):
        expected = block_labels(shape, pattern.shape)
    elif isinstance(pattern, Group):
        axis = pattern.groups.axis
        expected = group_labels(shape, axis if isinstance(axis, tuple) else (axis,))
    else:
        expected = np.arange(math.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(labels_of(units), expected)
    assert units.count == units.limit == expected.max() + 1
    np.testing.assert_array_equal(
        np.broadcast_to(units.sizes, units.count), np.bincount(expected.ravel())
    )


@given(patterns(), st.integers(0, 99))
def test_scores_of_units_are_those_of_a_loop(case, seed):
    shape, pattern = case
    units, scores = bind(pattern, shape), numbers(shape, seed)
    found, labels = units.scores(scores), labels_of(units)
    for unit in range(units.count):
        own = scores[labels == unit].astype("float64")
        if isinstance(pattern, Group):
            mean = np.mean(np.sign(own) * own**2)
            expected = np.sign(mean) * math.sqrt(abs(mean))
        else:
            is_max = isinstance(pattern, Block) and pattern.pooling == "max"
            expected = own.max() if is_max else own.mean()
        assert found[unit] == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(patterns(), st.integers(0, 99))
def test_gather_inverts_spread(case, seed):
    shape, pattern = case
    units = bind(pattern, shape)
    chosen = np.random.default_rng(seed).random(units.count) < 0.5
    mask = units.spread(chosen)
    assert mask.shape == shape
    assert mask.dtype == bool
    np.testing.assert_array_equal(units.gather(mask), chosen)
    one = np.zeros(shape, bool)
    one.flat[seed % one.size] = True
    np.testing.assert_array_equal(np.flatnonzero(units.gather(one)), labels_of(units)[one])


@given(patterns(), st.floats(0, 1))
def test_the_number_of_pruned_units_is_the_nearest(case, sparsity):
    shape, pattern = case
    units, scores = bind(pattern, shape), bind(pattern, shape).scores(numbers(shape))
    count = units.prunable(sparsity, scores)
    gone = np.cumsum(np.broadcast_to(units.sizes, units.count)[np.argsort(scores, kind="stable")])
    distance = np.abs(np.concatenate([[0], gone]) - sparsity * gone[-1])
    assert distance[count] <= distance.min() + 1e-9
    assert units.prunable(sparsity) in (count, None)


def test_pruned_units_are_chosen_first():
    units = bind(Group(1), (2, 3))
    alive = np.array([[1, 0, 0], [1, 0, 1]], bool)
    np.testing.assert_allclose(
        units.scores(np.array([[3.0, 9, 0], [3, 9, 4]]), alive), [3, -np.inf, 8**0.5]
    )


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4), (2, 2, 3, 4)])
@pytest.mark.parametrize(("axis", "gates"), [(-1, 1), (0, 1), ((0, -1), 1)])
def test_groups_are_those_of_the_regularizers(shape, axis, gates):
    view, axes = Groups(axis, gates).layout(shape)
    norms = np.sqrt(np.square(numbers(shape).astype("float64").reshape(view)).sum(axis=axes))
    units = bind(Group(axis, gates), shape)
    np.testing.assert_allclose(
        units.scores(np.abs(numbers(shape))) * math.sqrt(units.sizes), norms.ravel(), rtol=1e-6
    )


def test_gates_are_pruned_together():
    units = bind(Group(-1, gates=4), (2, 12))
    mask = units.spread(np.array([True, False, True]))
    np.testing.assert_array_equal(mask, np.tile([True, False, True], (2, 4)))


@pytest.mark.parametrize(
    ("pattern", "shape", "reason"),
    [
        (NM(2, 4, axis=0), (3, 8), "axis 0 has 3 weights, 2:4 needs 4"),
        (NM(2, 4), (8,), "axis -2 does not exist"),
        (NM(2, 4, axis=2), (8, 8), "axis 2 does not exist"),
        (Block((2, 2)), (8,), "fewer axes than blocks"),
        (Group("head"), (8, 8), "no known axis of the kind 'head'"),
        (Group(2), (8, 8), "must name different axes"),
        (Group(-1, gates=3), (8, 8), "which 3 gates do not divide"),
    ],
)
def test_patterns_that_do_not_fit_give_the_reason(pattern, shape, reason):
    with pytest.raises(ValueError, match=reason):
        bind(pattern, shape)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: NM(4, 4), "ints with 0 < n < m"),
        (lambda: NM(0, 4), "ints with 0 < n < m"),
        (lambda: NM(2.0, 4), "Received: n=2.0"),
        (lambda: NM(2, 4, axis="input"), "`axis` must be an int, or None"),
        (lambda: Block(4), "a tuple of ints"),
        (lambda: Block(()), "a tuple of ints"),
        (lambda: Block((4, 0)), "a tuple of ints"),
        (lambda: Block((4, 4), pooling="sum"), '"mean" or "max"'),
        (lambda: Group("units"), "one of the names"),
        (lambda: Group(0, gates=0), "`gates` must be an int"),
        (lambda: standardize_pattern("4:2"), "`pattern` must be one of"),
        (lambda: standardize_pattern(NM), "`pattern` must be one of"),
    ],
)
def test_invalid_arguments_raise(build, message):
    with pytest.raises(ValueError, match=message):
        build()
