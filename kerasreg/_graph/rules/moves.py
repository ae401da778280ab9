"""Finds where an operation moves each coordinate, by running it on indices."""

import itertools

import numpy as np
from keras import ops, tree

from kerasreg._graph.rules.base import COMBINES
from kerasreg._graph.tracing import Tensor

#: Values to try for undefined sizes. The first two for which an operation runs and returns
#: elements are used. Several undefined axes of a tensor get multiples of one value.
_SIZES = (2, 3, 5, 12, 33, 64, 260, 1100)
_MOST = 2**24


class MixedError(Exception):
    """Raised if an operation does not only move values along an axis."""


def moves_of(call, axis, size):
    """Finds the input coordinates from which the coordinates of each output come.

    The operation is run with two orders of the indices, two values for undefined sizes, and two
    values for the other tensors (such as indices to take). It must move values in the same way in
    all of these runs.

    Returns:
        A list with `(axis, indices)` for each output: `indices` is an int array
        `(repetitions, size)` with the input coordinate of each output coordinate along `axis`. It
        is None for an output that does not vary along any axis.

    Raises:
        MixedError: if the operation combines values, or the runs differ.
    """
    other = np.arange(size)[::-1] if size < 4 else np.random.default_rng(0).permutation(size)
    found = None
    for one, two in _results(call, axis, (np.arange(size), other)):
        moves = [_move(*each, size, other) for each in zip(one, two, strict=True)]
        if found is not None and not all(map(_are_same, found, moves)):
            raise MixedError("moves units depending on undefined sizes or on other inputs")
        found = moves
    return found


def follows(call, axis, size, moves):
    """Returns whether the operation, applied to fewer units, gives the shrunken outputs."""
    some = np.random.default_rng(1).permutation(size)[: max(1, size // 2)]
    for kept in (np.sort(some), some[:1]):
        try:
            ((results,),) = itertools.islice(_results(call, axis, (kept,)), 1)
        except MixedError:
            return False
        for (target, places), result in zip(moves, results, strict=True):
            if len(places) > 1 or result.ndim <= target:
                return False
            expected = places[0][np.isin(places[0], kept)] + 1
            along = np.moveaxis(result, target, -1)
            if along.shape[-1] != len(expected) or not (along == expected).all():
                return False
    return True


def _results(call, axis, orders):
    """Yields the outputs for each order, once for each combination of sizes and fill values."""
    error, found = None, 0
    tensors = [each for each in call.inputs if each is not call.inputs[0]]
    is_fixed = not any(None in each.shape for each in call.inputs)
    for size in _SIZES:
        for fill in (0, 1) if tensors else (0,):
            try:
                results = [_run(call, axis, order, size, fill) for order in orders]
            except Exception as failure:  # The operation rejects these sizes.
                error = error or failure
                continue
            if all(each.size for result in results for each in result):
                found += 1
                yield results
        if found >= (2 if tensors else 1) * (1 if is_fixed else 2):
            return
        if is_fixed:
            break
    if not found:
        raise MixedError(f"cannot be run on indices ({error})" if error else "returns no values")


def _run(call, axis, order, size, fill):
    tensor = call.inputs[0]
    shape = _shape(tensor, size)
    shape[axis] = len(order)
    if np.prod(shape, dtype=float) > _MOST:
        raise ValueError("too many numbers")
    # Indices start at 1, so that zeros in the outputs are recognized.
    view = [-1 if i == axis else 1 for i in range(len(shape))]
    numbers = np.broadcast_to(order.reshape(view) + 1.0, shape)
    made = {id(tensor): ops.convert_to_tensor(numbers, dtype="float32")}
    for each in call.inputs:
        if id(each) not in made:
            value = np.full(_shape(each, size), fill)
            made[id(each)] = ops.convert_to_tensor(value, dtype=each.dtype)
    args, kwargs = tree.map_structure(
        lambda each: made[id(each)] if isinstance(each, Tensor) else each, (call.args, call.kwargs)
    )
    outputs = tree.flatten(call.operation.call(*args, **kwargs))
    return [np.asarray(ops.convert_to_numpy(each)) for each in outputs]


def _shape(tensor, size):
    multiples = itertools.count(size, size)
    return [next(multiples) if each is None else each for each in tensor.shape]


def _move(first, second, size, other):
    """Returns `(axis, indices)` for one output, from its values for two orders of the indices."""
    places = first.astype(int) - 1
    is_index = (first >= 1) & (first <= size) & (places == first - 1)
    if not is_index.all() or second.shape != first.shape or (second != other[places] + 1).any():
        raise MixedError(COMBINES)
    varying = [i for i in range(places.ndim) if (np.take(places, [0], i) != places).any()]
    if not varying:
        return None
    last = np.moveaxis(places, varying[-1], -1)
    return varying[-1], np.unique(last.reshape(-1, last.shape[-1]), axis=0)


def _are_same(one, two):
    if one is None or two is None:
        return one is two
    return one[0] == two[0] and np.array_equal(one[1], two[1])
