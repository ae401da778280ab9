"""The weakest of many numbers, against a stable sort."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kerasreg._pruning.ranking import nearest_count, weakest

SIZE = 300_000
rng = np.random.default_rng(0)
LARGE = {
    "normal": rng.normal(size=SIZE),
    "ascending": np.arange(SIZE, dtype="float64"),
    "descending": -np.arange(SIZE, dtype="float64"),
    "equal": np.ones(SIZE),
    "three values": rng.integers(0, 3, SIZE).astype("float64"),
    # The sample sees every 18th number only.
    "periodic": np.where(np.arange(SIZE) % 18 == 0, 1e6, 0.0) + rng.random(SIZE),
    "periodic and equal": np.where(np.arange(SIZE) % 18 == 0, 5.0, -5.0),
    "one block": np.repeat([1.0, 0.0, 2.0], SIZE // 3),
    "mostly dead": np.where(rng.random(SIZE) < 0.9, -np.inf, rng.random(SIZE)),
    "mostly kept": np.where(rng.random(SIZE) < 0.9, np.inf, rng.random(SIZE)),
    "heavy tails": rng.standard_cauchy(SIZE) ** 3,
}


def sorted_first(scores, count):
    chosen = np.zeros(scores.size, bool)
    chosen[np.argsort(scores, kind="stable")[:count]] = True
    return chosen


@given(
    arrays.arrays(
        st.sampled_from(["float32", "float64"]),
        st.integers(0, 40),
        # Often equal, sometimes infinite.
        elements=st.integers(-3, 3).map(float) | st.sampled_from([np.inf, -np.inf, 0.1, -0.0]),
    ),
    st.integers(0, 45),
)
def test_small_arrays_match_a_stable_sort(scores, count):
    chosen = weakest(scores, count)
    assert chosen.dtype == bool
    np.testing.assert_array_equal(chosen, sorted_first(scores, count))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LARGE)
def test_large_arrays_match_a_stable_sort(name, dtype):
    scores = LARGE[name].astype(dtype)
    for share in (1e-5, 0.05, 0.5, 0.9, 0.99999):
        count = round(share * SIZE)
        chosen = weakest(scores, count)
        np.testing.assert_array_equal(chosen, sorted_first(scores, count), f"{share}")


def test_views_with_strides_match_a_stable_sort():
    table = rng.normal(size=(600, 500))
    for scores in (table.ravel()[::2], table[:, 7], table[::-1].ravel()[::-1]):
        expected = sorted_first(scores.copy(), 200)
        np.testing.assert_array_equal(weakest(scores, 200), expected)


def test_of_equal_scores_the_first_are_chosen():
    np.testing.assert_array_equal(
        weakest(np.array([2.0, 1.0, 1.0, 1.0]), 2), [False, True, True, False]
    )


def test_the_scores_are_not_changed():
    scores = LARGE["normal"].copy()
    weakest(scores, 1000)
    np.testing.assert_array_equal(scores, LARGE["normal"])


def brute_count(scores, sizes, sparsity):
    gone = np.concatenate([[0], np.cumsum(sizes[np.argsort(scores, kind="stable")])])
    distance = np.abs(gone - sparsity * sizes.sum())
    # The last of the nearest: half counts up.
    return len(gone) - 1 - int(np.argmin(distance[::-1]))


@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(1, 6)), min_size=1, max_size=20),
    st.integers(0, 64).map(lambda k: k / 64),
)
def test_the_count_comes_nearest_to_the_sparsity(pairs, sparsity):
    scores, sizes = np.array(pairs).T
    scores = scores.astype("float64")
    assert nearest_count(scores, sizes, sparsity) == brute_count(scores, sizes, sparsity)
    same = np.full_like(sizes, 3)
    assert nearest_count(scores, same, sparsity) == brute_count(scores, same, sparsity)
