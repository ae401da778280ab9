"""Array arguments of penalties: validation, and conversion to and from configs."""

import base64
import math
import zlib

import numpy as np
from keras import ops

_DTYPES = ("float32", "float64")


#: Larger arrays in configs (in bytes) are unpacked only when their shape matches the weights.
_EAGER_BYTES = 2**24
_MOST_BYTES = 2**40
_MOST_AXES = 32


class PackedArray:
    """A large array in a config that is still compressed. Only shape and dtype are read."""

    def __init__(self, config: dict, name: str):
        self.config, self._name = config, name
        self.shape, self.dtype = tuple(config["shape"]), np.dtype(config["dtype"])

    def unpack(self) -> np.ndarray:
        """Returns the array, read-only.

        Raises:
            ValueError: if the data are no array of this shape, or not finite.
        """
        return _validated(self.config, self._name)


def array_argument(value, name: str) -> np.ndarray | PackedArray | None:
    """Returns `value` as a read-only float array of NumPy, or None for None.

    Args:
        value: finite array of any library, nested list, config made by `encode`, or None. For a
            large array in a config, only the shape is checked here; it is returned packed.
        name: name of the argument for error messages.
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
    """Returns the result of `array_argument` as an array, unpacking it if necessary."""
    return array.unpack() if isinstance(array, PackedArray) else array


def _validated(value, name):
    try:
        array = decode(value) if isinstance(value, dict) else ops.convert_to_numpy(value)
        # Half precision is exact in float32. Lists hold Python floats, which are float64.
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
        f"`{name}` must be an array of real numbers, or the config of one. Received: "
        f"{name}={_excerpt(value)} ({type(error).__name__}: {error})"
    )


def encode(array: np.ndarray | PackedArray) -> dict:
    """Returns an array as a dict for JSON: `{"shape", "dtype", "data"}`.

    `data` are the little-endian bytes in C order, compressed with zlib and encoded in base64.
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
    """Returns the size in bytes of the array in a config, and checks that it is plausible."""
    if config["dtype"] not in _DTYPES:
        raise ValueError(f"the dtype must be one of {_DTYPES}")
    shape = config["shape"]
    if not isinstance(shape, (list, tuple)) or not all(type(size) is int for size in shape):
        raise TypeError("the shape must be a list of ints")
    sizes = [max(size, 1) for size in shape]
    size = math.prod(sizes) * np.dtype(config["dtype"]).itemsize
    if any(each < 0 for each in shape) or len(shape) > _MOST_AXES or size > _MOST_BYTES:
        raise ValueError(f"the shape {str(shape)[:80]} is not possible for weights")
    if not isinstance(config["data"], str):
        raise TypeError("the data must be a string")
    return math.prod(shape) * np.dtype(config["dtype"]).itemsize


def decode(config: dict) -> np.ndarray:
    """Returns the array from a config made by `encode`."""
    size = _bytes_of(config)
    dtype = np.dtype(config["dtype"]).newbyteorder("<")
    # The limit protects the memory from damaged or malicious files.
    data = zlib.decompressobj().decompress(
        base64.b64decode(config["data"], validate=True), size + 1
    )
    if len(data) != size:
        raise ValueError(f"the data do not have the size of shape {config['shape']}")
    return np.frombuffer(data, dtype).reshape(config["shape"]).astype(config["dtype"])


def _excerpt(value):
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
