"""How the zeros are shared out, against brute force over everything."""

import math
from types import MappingProxyType, SimpleNamespace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kerasreg
from kerasreg._pruning.scopes import Scope, weakest_of_all
from kerasreg._pruning.selection import Selection
from kerasreg._pruning.units import Target
from kerasreg.patterns import Block, Group, Unstructured

PATTERNS = {"weights": Unstructured(), "units": Group(-1), "blocks": Block((3, 2))}


def target(shape, pattern=PATTERNS["weights"], path="net/a/kernel", name=None):
    units = pattern.bind(np.empty(shape), {})
    return Target(SimpleNamespace(shape=shape, path=path), units, name or path)


def rule(scope, pattern="unstructured"):
    return Selection(pattern, "magnitude", scope, None, None)


shapes = st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), min_size=1, max_size=5)


def scores_of(targets, seed, kinds):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, kinds, t.units.count).astype("float64") for t in targets]


@given(
    shapes,
    st.integers(0, 64).map(lambda k: k / 64),
    st.sampled_from(sorted(PATTERNS)),
    st.integers(0, 9),
    st.sampled_from([2, 1000]),
)
def test_the_global_scope_matches_brute_force(shapes, sparsity, name, seed, kinds):
    targets = [target(shape, PATTERNS[name]) for shape in shapes]
    scores = scores_of(targets, seed, kinds)
    counts = rule("global").counts(targets, scores, sparsity, sparsity)
    # Every unit of every variable, the weakest first; of equal ones, those of the first variable.
    every = sorted(
        (score, index, place, size)
        for index, (t, each) in enumerate(zip(targets, scores, strict=True))
        for place, (score, size) in enumerate(
            zip(each, np.broadcast_to(t.units.sizes, t.units.count), strict=True)
        )
    )
    gone = np.cumsum([0] + [size for *_, size in every])
    distance = np.abs(gone - sparsity * gone[-1])
    assert distance[sum(counts)] == distance.min()
    expected = [0] * len(targets)
    for _, index, _, _ in every[: sum(counts)]:
        expected[index] += 1
    assert counts == expected


@given(shapes, st.floats(0, 1), st.integers(0, 9))
def test_units_of_infinite_score_are_not_pruned(shapes, sparsity, seed):
    targets = [target(shape) for shape in shapes]
    scores = scores_of(targets, seed, 3)
    for each in scores:
        each[each == 2] = np.inf
    counts = weakest_of_all([t.units for t in targets], scores, sparsity)
    possible = [int(np.sum(each < 2)) for each in scores]
    total = sum(each.size for each in scores)
    assert all(count <= most for count, most in zip(counts, possible, strict=True))
    assert sum(counts) == min(math.floor(sparsity * total + 0.5), sum(possible))


@given(shapes, st.floats(0, 1), st.sampled_from(["layer", "erk"]))
def test_every_variable_gets_its_share_to_the_nearest_weight(shapes, sparsity, scope):
    targets = [target(shape) for shape in shapes]
    shares = Scope(scope).shares(targets, sparsity, sparsity)
    counts = rule(scope).counts(targets, None, sparsity, sparsity)
    sizes = [t.units.count for t in targets]
    for share, count, size in zip(shares, counts, sizes, strict=True):
        assert 0 <= count <= size
        assert abs(count - share * size) <= 0.5 + 1e-9
    if scope == "layer":
        assert shares == [sparsity] * len(targets)
    total = sum(share * size for share, size in zip(shares, sizes, strict=True))
    assert total == pytest.approx(sparsity * sum(sizes), abs=1e-6)


def erdos_renyi_kernel(shapes, sparsity):
    """Densities by bisection on the common factor, each at most 1."""
    sizes = np.array([math.prod(shape) for shape in shapes])
    raw = np.array([sum(shape) for shape in shapes]) / sizes
    low, high = 0.0, 1.0 / raw.min()
    for _ in range(200):
        middle = (low + high) / 2
        too_many = (np.minimum(1, middle * raw) * sizes).sum() > (1 - sparsity) * sizes.sum()
        low, high = (low, middle) if too_many else (middle, high)
    return np.minimum(1, low * raw)


@given(
    st.lists(st.lists(st.integers(1, 40), min_size=2, max_size=4), min_size=1, max_size=6),
    st.floats(0.01, 0.99),
)
def test_erk_densities_match_bisection(shapes, sparsity):
    shares = Scope("erk").shares([target(tuple(s)) for s in shapes], sparsity, None)
    np.testing.assert_allclose(
        1 - np.array(shares), erdos_renyi_kernel(shapes, sparsity), atol=1e-9
    )


def test_erk_keeps_small_layers_dense():
    shapes = [(784, 300), (300, 100), (100, 10)]
    first, *others = Scope("erk").shares([target(shape) for shape in shapes], 0.5, None)
    assert others == [0.0, 0.0]
    assert first == pytest.approx(1 - (0.5 * 266_200 - 31_000) / 235_200)


def test_rules_rise_with_the_schedule():
    targets = [target((10, 10), path=f"net/{name}/kernel") for name in "abc"]
    scope = rule({"/a/": 0.4, "/[ab]/": 0.9})
    found = [scope.counts(targets, None, sparsity, 0.8) for sparsity in (0.0, 0.2, 0.4, 0.8)]
    assert found == [[0, 0, 0], [10, 23, 20], [20, 45, 40], [40, 90, 80]]
    # Of a function nobody knows the end.
    assert scope.counts(targets, None, 0.2, None) == [40, 90, 20]


def test_a_rule_matches_paths_without_appended_numbers():
    one, two = target((2, 5)), target((2, 5), name="net/a/kernel_2")
    Scope({"kernel$": 0.5}).check([one, two])
    assert Scope({"kernel$": 0.5}).shares([one, two], 0.8, 0.8) == [0.5, 0.5]


def test_ties_never_overshoot():
    targets = [target((7, 9)), target((9, 7))]
    for scope in ("layer", "global", "erk"):
        scores = [np.zeros(63), np.zeros(63)]
        for sparsity in (0.0, 0.25, 0.5, 0.9, 1.0):
            counts = rule(scope).counts(targets, scores, sparsity, sparsity)
            masks = rule(scope).choose(targets, scores, counts)
            assert [t.zeros(masks) for t in targets] == counts
            assert abs(sum(counts) - sparsity * 126) <= 1.0


def test_pruned_units_stay_pruned_at_a_lower_sparsity():
    scores = [np.array([-np.inf, 1.0, -np.inf, 0.5])]
    (mask,) = rule("layer").choose([target((2, 2))], scores, [1]).values()
    np.testing.assert_array_equal(mask, [[False, True], [False, True]])


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ("layers", "`scope` must be one of"),
        (None, "Received: scope=None"),
        ({}, "Received: scope={}"),
        (["layer"], r"Received: scope=\['layer'\]"),
        ({"a": 1.5}, r"`scope\['a'\]` must be a finite number"),
        ({"(": 0.5}, "`scope` must be a dict with regular expressions as keys"),
        ({3: 0.5}, "`scope` must be a dict with regular expressions as keys"),
    ],
)
def test_invalid_arguments_raise(scope, message):
    with pytest.raises(ValueError, match=message):
        Scope(scope)


def test_a_rule_that_matches_nothing_raises():
    with pytest.raises(ValueError, match=r"Received: \['conv'\]; the paths are \['net/a/kernel'\]"):
        Scope({"kernel": 0.5, "conv": 0.5}).check([target((2, 2))])


def test_any_mapping_is_accepted_in_place_of_a_dict():
    layers = [keras.layers.Dense(4, name="a"), keras.layers.Dense(4, name="b")]
    model = keras.Sequential([keras.Input((8,)), *layers], name="net")
    kerasreg.attach(model, MappingProxyType({"a/kernel": "l1"}))
    assert isinstance(model.layers[0].kernel.regularizer, keras.regularizers.L1)
    kerasreg.prune(model, 0.5, scope=MappingProxyType({"a/kernel": 0.75}))
    kerasreg.prune_below(model, MappingProxyType({"b/kernel": 10.0}))
    found = kerasreg.statistics(model)
    assert [found[f"net/{name}/kernel"].sparsity for name in "ab"] == [0.75, 1.0]
    polish = MappingProxyType({"x": np.ones((2, 8)), "epochs": 1})
    assert kerasreg.callbacks.ProximalGradient(polish=polish)
