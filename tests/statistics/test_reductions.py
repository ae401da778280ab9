"""Every number is NumPy's, whatever is in the weights and wherever they are."""

import math

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import ops

from kerasreg._graph.groups import Groups
from kerasreg._statistics.reductions import measure_on_device, measure_on_host

BOTH = pytest.mark.parametrize("measure", [measure_on_host, measure_on_device])
FLOATS = ["float16", "bfloat16", "float32"] + ["float64"] * (keras.backend.backend() != "jax")
INTS = {
    "int8": [-128, 0, 5],
    "int32": [-(2**31), 0, 2**31 - 1],
    "uint8": [0, 255, 1],
    "uint32": [0, 2**32 - 1, 7],
    "bool": [False, True, True],
}


def variable(values, dtype="float32"):
    values = ops.cast(ops.convert_to_tensor(np.asarray(values)), dtype)
    return keras.Variable(values, dtype=dtype, trainable="float" in dtype)


def by_numpy(w):
    """`[zeros, nonfinite, l1, l2, max]` in float64."""
    w = np.asarray(w).astype("float64")
    with np.errstate(all="ignore"):
        largest = np.max(np.abs(w), initial=0.0)
        unit = largest if 0 < largest < np.inf else 1.0
        l2 = unit * np.sqrt(np.sum((w / unit) ** 2))
        return [np.sum(w == 0), np.sum(~np.isfinite(w)), np.sum(np.abs(w)), l2, largest]


def assert_numpys(found, w):
    with np.errstate(over="ignore"):
        found, expected = np.float32(found[:5]), np.float32(by_numpy(w))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


LARGEST = float(np.float32(3e38))
SPECIAL = [0.0, -0.0, 1.0, -3.0, 1e-30, -1e30, np.inf, -np.inf, np.nan]
ARRAYS = hnp.arrays(
    "float32",
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
    elements=st.sampled_from(SPECIAL)
    | st.floats(-LARGEST, LARGEST, width=32, allow_subnormal=False),
)


@BOTH
@settings(max_examples=50)
@given(ARRAYS)
@example(np.zeros((0, 3), "float32"))
@example(np.float32([3e38, -3e38, 1]))
@example(np.float32([1e-30, 2e-30]))
@example(np.float32([np.inf, np.nan, 0]))
def test_any_float32(measure, w):
    assert_numpys(measure(variable(w), {}), w)


@BOTH
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [65_535, 65_536, 200_000])
def test_dtypes_and_blocks(measure, dtype, size):
    rng = np.random.default_rng(0)
    w = variable(rng.normal(size=size) * (rng.random(size) < 0.5), dtype)
    exact = ops.cast(w, "float64" if dtype == "float64" else "float32")
    assert_numpys(measure(w, {}), ops.convert_to_numpy(exact))


@BOTH
@pytest.mark.parametrize("dtype", INTS)
def test_integers(measure, dtype):
    w = np.array(INTS[dtype], dtype)
    assert_numpys(measure(variable(w, dtype), {}), w)


def test_equal_weights_lose_no_digits():
    # A million times the same rounding error, in the same direction.
    w = np.full(1_000_003, 0.1, "float32")
    assert_numpys(measure_on_host(variable(w), {}), w)


@pytest.mark.skipif("float64" not in FLOATS, reason="JAX computes in float32")
def test_float64_is_not_rounded():
    w = variable(np.array([1 + 1e-12, 1e200, 1e-200]), "float64")
    assert measure_on_host(w, {})[4] == 1e200
    assert measure_on_device(w, {})[:2] == (0, 0)


@BOTH
def test_counts_are_exact_beyond_float32(measure):
    size = 2**24 + 9
    w = np.zeros(size, "float32")
    w[-2:] = np.nan, 1
    zeros, nonfinite, *_ = measure(variable(w), {})
    assert (zeros, nonfinite) == (size - 2, 1)


@BOTH
def test_bad_weights_in_several_blocks_are_all_counted(measure):
    w = np.ones(200_000, "float32")
    w[[1, 70_000, 199_999]] = np.inf, np.nan, -np.inf
    _, nonfinite, *sums, _ = measure(variable(w), {})
    assert nonfinite == 3
    assert all(math.isnan(number) for number in sums)


def test_denormals_are_not_zeros():
    assert measure_on_host(variable(np.float32([1e-40, -1e-45, 0.0])), {})[0] == 1


@BOTH
@pytest.mark.parametrize(
    ("groups", "dead"),
    [(Groups(-1), 2), (Groups(0), 1), (Groups(-1, gates=2), 1), (Groups((0, 1)), 10)],
)
def test_dead_groups(measure, groups, dead):
    w = np.arange(1.0, 19).reshape(3, 6)
    w[:, [1, 4]], w[2] = 0, 0
    assert measure(variable(w), {"units": groups})[5]["units"].sum() == dead


@BOTH
def test_a_group_of_nan_is_not_dead(measure):
    assert measure(variable([[np.nan, 0.0]]), {"units": Groups(-1)})[5]["units"].tolist() == [
        False,
        True,
    ]


@BOTH
def test_groups_without_weights_are_dead(measure):
    assert (
        measure(variable(np.zeros((0, 3))), {"units": Groups(-1)})[5]["units"].tolist()
        == [True] * 3
    )


@BOTH
def test_results_are_plain_python(measure):
    *numbers, dead = measure(variable([[1.0, 0.0]]), {"units": Groups(-1)})
    assert [type(number) for number in numbers] == [int, int, float, float, float]
    assert (dead["units"].dtype, dead["units"].tolist()) == (bool, [False, True])


def test_the_host_reads_the_current_weights():
    w = variable([1.0, 2.0])
    measure_on_host(w, {})
    w.assign([0.0, 3.0])
    assert measure_on_host(w, {})[:3] == (1, 0, 3.0)
