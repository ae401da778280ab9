"""Arrays as arguments of a penalty: what they may be, and their form in a config."""

import base64
import math
import zlib

import numpy as np
from keras import ops

_DTYPES = ("float32", "float64")


#: Above this many bytes, the array of a config is unpacked when it meets weights of its shape.
_EAGER_BYTES = 2**24
_MOST_BYTES = 2**40
_MOST_AXES = 32


class PackedArray:
    """The large array of a config, which may come from any file: only its shape is known so far."""

    def __init__(self, config: dict, name: str):
        self.config, self._name = config, name
        self.shape, self.dtype = tuple(config["shape"]), np.dtype(config["dtype"])

    def unpack(self) -> np.ndarray:
        """The array, read-only.

        Raises:
            ValueError: if it is none, or not finite.
        """
        return _validated(self.config, self._name)


def array_argument(value, name: str) -> np.ndarray | PackedArray | None:
    """`value` as a read-only float array of NumPy, if all of it is finite; None stays None.

    It is an array of any library, a nested list, or the form of a config. Of a large one in a
    config, the shape is checked, and the rest when it is unpacked.
    """
    if value is None or isinstance(value, PackedArray):
        return value
    if isinstance(value, dict):
        try:
            is_large = _bytes_of(value) > _EAGER_BYTES
        except (KeyError, TypeError, ValueError) as error:
            raise _no_array(value, name, error) from error
        if is_large:
            return PackedArray(value, name)
    return _validated(value, name)


def unpacked(array: np.ndarray | PackedArray | None) -> np.ndarray | None:
    """What `array_argument` gave, as an array."""
    return array.unpack() if isinstance(array, PackedArray) else array


def _validated(value, name):
    try:
        array = decode(value) if isinstance(value, dict) else ops.convert_to_numpy(value)
        # Half precision is exact in float32; lists have the numbers of Python.
        single = array.dtype.name in ("bfloat16", "float16", "float32")
        if not single and array.dtype.kind not in "fiu":
            raise TypeError(f"the dtype is {array.dtype}")
        array = np.array(array, "float32" if single else "float64")
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise _no_array(value, name, error) from error
    if not np.isfinite(array).all():
        raise ValueError(f"`{name}` must be finite. Received: {name}={_excerpt(array)}")
    array.setflags(write=False)
    return array


def _no_array(value, name, error):
    return ValueError(
        f"`{name}` must be an array of real numbers, or one in the form of a config. Received: "
        f"{name}={_excerpt(value)} ({type(error).__name__}: {error})"
    )


def encode(array: np.ndarray | PackedArray) -> dict:
    """An array as what JSON can hold: `{"shape", "dtype", "data"}`.

    The data are the little-endian bytes in C order, compressed by zlib, in base64.
    """
    if isinstance(array, PackedArray):
        return array.config
    data = zlib.compress(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return {
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "data": base64.b64encode(data).decode(),
    }


def _bytes_of(config):
    """The size of an array by its config, if it can have one."""
    if config["dtype"] not in _DTYPES:
        raise ValueError(f"the dtype must be one of {_DTYPES}")
    shape = config["shape"]
    if not isinstance(shape, (list, tuple)) or not all(type(size) is int for size in shape):
        raise TypeError("the shape must be a list of ints")
    sizes = [max(size, 1) for size in shape]
    size = math.prod(sizes) * np.dtype(config["dtype"]).itemsize
    if any(each < 0 for each in shape) or len(shape) > _MOST_AXES or size > _MOST_BYTES:
        raise ValueError(f"no weights have the shape {str(shape)[:80]}")
    if not isinstance(config["data"], str):
        raise TypeError("the data must be a string")
    return math.prod(shape) * np.dtype(config["dtype"]).itemsize


def decode(config: dict) -> np.ndarray:
    """The array that `encode` was given."""
    size = _bytes_of(config)
    dtype = np.dtype(config["dtype"]).newbyteorder("<")
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
