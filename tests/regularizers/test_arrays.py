"""Arrays in configs: exact, compressed, and validated."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from kerasreg.regularizers import L2SP
from kerasreg.regularizers.arrays import array_argument, decode, encode


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4", ">f8"])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 0, 2), (2, 3), (4, 3, 2, 2)])
def test_arrays_survive_json(shape, dtype):
    array = np.random.default_rng(0).normal(size=shape).astype(dtype)
    # In Fortran order, with NaN, infinities and denormals.
    array = np.asfortranarray(array)
    array.ravel(order="K")[:3] = (-0.0, 1e-42, 3e38)[: array.size]
    same = decode(json.loads(json.dumps(encode(array))))
    assert same.shape == array.shape
    assert same.dtype == array.dtype.newbyteorder("=")
    assert same.tobytes() == array.astype(same.dtype).tobytes()


def test_bytes_are_little_endian():
    # The bytes 0000803f 0000003f, not compressed.
    config = {"shape": [2], "dtype": "float32", "data": "eAEBCAD3/wAAgD8AAAA/BIIA/w=="}
    np.testing.assert_array_equal(decode(config), [1.0, 0.5])


def test_zeros_are_compressed():
    assert len(json.dumps(encode(np.zeros((1000, 1000), "float32")))) < 10_000


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [5]},
        {"shape": [-1]},
        {"shape": "3"},
        {"dtype": "object"},
        {"dtype": "int32"},
        {"dtype": "float64"},
        {"data": ""},
        {"data": "no base64!"},
        {"data": "AAAA"},
        {"data": None},
    ],
    ids=repr,
)
def test_damaged_configs_raise(change):
    config = {**encode(np.ones(4, "float32")), **change}
    with pytest.raises(ValueError, match=r"`reference` must be an array.*Received: reference="):
        array_argument(config, "reference")


@pytest.mark.parametrize("config", [{}, {"shape": [1]}, {"class_name": "L1", "config": {}}])
def test_other_dicts_raise(config):
    with pytest.raises(ValueError, match=r"`reference` must be an array.*Received: reference="):
        array_argument(config, "reference")


@pytest.mark.parametrize("value", ["0.5", object(), [[1, 2], [3]], 1j, [None], ["a"], "l2", True])
def test_values_that_are_not_arrays_raise(value):
    with pytest.raises(ValueError, match=r"`reference` must be an array.*Received: reference="):
        L2SP(reference=value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_arrays_raise(bad):
    with pytest.raises(ValueError, match=r"`reference` must be finite. Received: reference="):
        L2SP(reference=[1.0, bad])


def test_long_values_are_shortened_in_messages():
    with pytest.raises(ValueError, match="finite") as error:
        L2SP(reference=np.full((1000, 1000), np.nan))
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_arrays_of_every_library_are_accepted(dtype):
    values = np.array([[1.0, -2.5], [0.0, 3.25]])
    variable = keras.Variable(values, dtype=dtype)
    for given in (variable, ops.convert_to_tensor(variable), ops.convert_to_numpy(variable)):
        array = array_argument(given, "reference")
        assert type(array) is np.ndarray
        assert array.dtype == "float32"
        np.testing.assert_array_equal(array, values)


@pytest.mark.parametrize("given", [[[1, 2.5]], ((1, 2.5),), np.array([[1, 2.5]]), [[10**9, 7]]])
def test_python_numbers_stay_exact(given):
    array = array_argument(given, "reference")
    assert array.dtype == "float64"
    np.testing.assert_array_equal(array, given)


def test_the_array_is_a_read_only_copy():
    given = np.ones(3, "float32")
    variable = keras.Variable(given)
    arrays = array_argument(given, "reference"), array_argument(variable, "reference")
    given[:] = 2
    variable.assign([2.0, 2.0, 2.0])
    for array in arrays:
        np.testing.assert_array_equal(array, 1.0)
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 3
