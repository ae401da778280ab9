"""Arrays as arguments of a penalty: what they may be, and their form in a config."""

import base64
import math
import zlib

import numpy as np
from keras import ops

_DTYPES = ("float32", "float64")


def array_argument(value, name):
    """`value` as a read-only float array of NumPy, if all of it is finite; None stays None.

    It is an array of any library, a nested list, or the form of a config.
    """
    if value is None:
        return None
    try:
        array = decode(value) if isinstance(value, dict) else ops.convert_to_numpy(value)
        # Half precision is exact in float32; lists have the numbers of Python.
        single = array.dtype.name in ("bfloat16", "float16", "float32")
        if not single and array.dtype.kind not in "fiu":
            raise TypeError(f"the dtype is {array.dtype}")
        array = np.array(array, "float32" if single else "float64")
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise ValueError(
            f"`{name}` must be an array of real numbers, or one in the form of a config. Received: "
            f"{name}={_excerpt(value)} ({type(error).__name__}: {error})"
        ) from error
    if not np.isfinite(array).all():
        raise ValueError(f"`{name}` must be finite. Received: {name}={_excerpt(array)}")
    array.setflags(write=False)
    return array


def encode(array):
    """An array as what JSON can hold: `{"shape", "dtype", "data"}`.

    The data are the little-endian bytes in C order, compressed by zlib, in base64.
    """
    data = zlib.compress(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return {
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "data": base64.b64encode(data).decode(),
    }


def decode(config):
    """The array that `encode` was given."""
    if config["dtype"] not in _DTYPES:
        raise ValueError(f"the dtype must be one of {_DTYPES}")
    dtype = np.dtype(config["dtype"]).newbyteorder("<")
    size = math.prod(config["shape"]) * dtype.itemsize
    # A damaged file must not fill the memory.
    data = zlib.decompressobj().decompress(
        base64.b64decode(config["data"], validate=True), size + 1
    )
    if len(data) != size:
        raise ValueError(f"the data must be those of shape {config['shape']}")
    return np.frombuffer(data, dtype).reshape(config["shape"]).astype(config["dtype"])


def _excerpt(value):
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
