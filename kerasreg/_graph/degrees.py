"""Measurement of how an operation without weights scales with its inputs."""

import functools
import math

import numpy as np
from keras import ops, tree

#: Powers of two scale floating-point numbers without rounding. They are far enough apart that a
#: bounded function (`relu6`) reaches its bound.
_SCALES = (2.0**-10, 2.0**10)
#: The largest number of elements to run an operation on, which limits the time for advice.
_LARGEST = 2**24


class Probe:
    """One use of an operation without weights, such as an operator or a function of `keras.ops`.

    Args:
        call: a `Call` of a traced model.
    """

    def __init__(self, call):
        self._call = call
        self._degrees = functools.cache(self._measure)

    def degrees(self, is_scaled):
        """Returns a list with 1 for each output that scales with these inputs, 0 for each that
        does not change, and None for all others.

        Args:
            is_scaled: a bool for each of the inputs of the call.
        """
        return self._degrees(tuple(is_scaled))

    @property
    def is_float(self):
        """A bool for each input of the call: whether its dtype is a floating-point one."""
        return ["float" in each.dtype for each in self._call.inputs]

    @functools.cached_property
    def _inputs(self):
        """`{id(tensor): array}` with random values for the inputs."""
        rng = np.random.default_rng(0)
        return {id(each): _random(rng, each) for each in self._call.inputs}

    def _measure(self, is_scaled):
        sizes = [math.prod(_shape(each)) for each in self._call.inputs]
        if sum(sizes) > _LARGEST:
            return [None] * len(self._call.outputs)
        try:
            plain, *others = [self._run(is_scaled, scale) for scale in (1.0, *_SCALES)]
        except Exception:
            # The operation may reject the values that are tried for undefined sizes.
            return [None] * len(self._call.outputs)
        return [_degree(first, several) for first, *several in zip(plain, *others, strict=True)]

    def _run(self, is_scaled, scale):
        filled = {
            id(tensor): ops.convert_to_tensor(self._inputs[id(tensor)] * (scale if yes else 1))
            for tensor, yes in zip(self._call.inputs, is_scaled, strict=True)
        }
        args, kwargs = tree.map_structure(
            lambda each: filled.get(id(each), each), (self._call.args, self._call.kwargs)
        )
        found = tree.flatten(self._call.operation.call(*args, **kwargs))
        return [np.asarray(ops.convert_to_numpy(each), "float64") for each in found]


def _degree(plain, scaled):
    for degree in (1, 0):
        pairs = zip(scaled, _SCALES, strict=True)
        if all(np.allclose(each, plain * scale**degree, 1e-5, 0.0) for each, scale in pairs):
            return degree
    return None


def _shape(tensor):
    return [2 if size is None else size for size in tensor.shape]


def _random(rng, tensor):
    shape = _shape(tensor)
    if "float" in tensor.dtype:
        return rng.normal(size=shape).astype("float32")
    return rng.integers(0, 2, shape).astype(tensor.dtype)
