"""The proof: the small model against the original, on random inputs."""

import math

import keras
import numpy as np
from keras import ops, tree

from kerasreg.shrinking.graph import functional_of

_TOLERANCE = {"float64": 1e-9, "float32": 1e-3}


def verify(model, small, sizes=(13, 18), samples=2, seed=0):
    """The largest difference of two models relative to their outputs, over random inputs.

    Unknown sizes of the inputs are tried as each of `sizes`.

    Raises:
        RuntimeError: if it is larger than rounding explains.
    """
    rng = np.random.default_rng(seed)
    unknown = any(None in each.shape[1:] for each in model.inputs)
    worst = 0.0
    for size in sizes if unknown else sizes[:1]:
        inputs = [_random(each, size, samples, rng) for each in model.inputs]
        inputs = tree.pack_sequence_as(functional_of(model)._inputs_struct, inputs)
        pairs = zip(_outputs(model, inputs), _outputs(small, inputs), strict=True)
        worst = max([worst, *(_difference(old, new) for old, new in pairs)])
    dtype = model.compute_dtype
    tolerance = _TOLERANCE.get(dtype, 0.1)
    if not worst <= tolerance:
        raise RuntimeError(
            f"`kerasreg.shrink` made a model whose outputs differ by {worst:.1e} relative to those "
            f"of '{model.name}', where {dtype} explains at most {tolerance:.0e}: it is not "
            "returned. Please report this model."
        )
    return worst


def _random(tensor, size, samples, rng):
    shape = [samples, *(size if each is None else each for each in tensor.shape[1:])]
    if keras.backend.is_float_dtype(tensor.dtype):
        return rng.normal(size=shape).astype(tensor.dtype)
    # Small numbers are indices of any table, and valid as masks.
    return rng.integers(0, 2, shape).astype(tensor.dtype)


def _outputs(model, inputs):
    outputs = tree.flatten(model(inputs, training=False))
    return [np.asarray(ops.convert_to_numpy(ops.cast(each, "float64"))) for each in outputs]


def _difference(old, new):
    if old.shape != new.shape:
        return math.inf
    scale = np.abs(old).max(initial=0.0)
    difference = np.abs(old - new).max(initial=0.0)
    return float(difference / scale) if scale > 0 else float(difference)
