"""Data in every form that `fit` accepts, as batches that can be read repeatedly."""

import itertools
import math

import keras
import numpy as np
from keras import ops

from kerasreg._common import validation

#: A generator with more batches than this is treated as infinite.
_MOST = 2_000
_TAKES = (
    "arrays or DataFrames, or batches as `x` alone: a `tf.data.Dataset`, a `PyDataset`, a data "
    "loader of torch or grain, or a finite generator"
)


class Batches:
    """Batches `(x, y, sample_weight)`; those of arrays have sizes as equal as possible.

    Args:
        x, y, sample_weight: arrays, DataFrames or nested structures of these; or `x` alone as
            batches: a `tf.data.Dataset`, a `PyDataset`, a data loader of torch or grain, or any
            iterable. A generator is read once and its batches are kept.
        batch_size: the maximum number of samples per batch of arrays; None for all in one batch.
        caller: the name of the function that needs the data, for error messages.
    """

    def __init__(self, x, y, sample_weight, batch_size, caller):
        parts = tuple(map(as_arrays, (x, y, sample_weight)))
        arrays = keras.tree.flatten(parts)
        self._arrays = all(each is None or hasattr(each, "shape") for each in arrays)
        self._parts = parts
        if self._arrays:
            self._samples, self._count = _samples_and_batches(arrays, batch_size)
        elif y is None and sample_weight is None and is_batches(x):
            self._data = _readable_again(x, caller)
            self._count = _count(self._data, caller)
        else:
            raise ValueError(
                f"`{caller}` needs {_TAKES}. Received: x={type(x).__name__}, y={type(y).__name__}"
            )

    @property
    def are_arrays(self):
        """Whether the batches are slices of arrays; otherwise the user has made the batches."""
        return self._arrays

    def __len__(self):
        return self._count

    def __iter__(self):
        if not self._arrays:
            yield from itertools.islice(each_batch(self._data, self._count), self._count)
            return
        size = math.ceil(self._samples / self._count)
        for start in range(0, self._samples, size):
            part = slice(start, start + size)
            yield keras.tree.map_structure(
                lambda array: None if array is None else array[part],  # noqa: B023
                self._parts,
            )


def as_arrays(data):
    """Converts DataFrames, Series and lists of numbers to arrays; other data are unchanged."""
    is_numbers = isinstance(data, (list, tuple)) and len(data) > 0
    if is_numbers and all(
        isinstance(each, (bool, int, float)) for each in keras.tree.flatten(data)
    ):
        return np.asarray(data)

    def convert(each):
        if type(each).__module__.partition(".")[0] != "pandas":
            return each
        array = each.to_numpy()
        if array.dtype == object:
            # Columns of several dtypes, or with missing numbers.
            array = each.to_numpy(dtype="float32")
        return array

    return keras.tree.map_structure(convert, data)


def is_batches(data):
    """Returns whether data consists of batches, rather than arrays or a structure of these."""
    is_dataset = isinstance(data, keras.utils.PyDataset) or hasattr(data, "__iter__")
    return is_dataset and not isinstance(data, (str, bytes, list, tuple, dict))


def never_ends(data):
    """Returns whether data is declared as infinite."""
    if isinstance(data, keras.utils.PyDataset):
        return data.num_batches is None
    # `tf.data.INFINITE_CARDINALITY` is -1.
    return hasattr(data, "cardinality") and int(data.cardinality()) == -1


def each_batch(data, steps=None):
    """Yields `(x, y, sample_weight)` of every batch, as tensors of this backend or arrays."""
    batches = data
    if isinstance(data, keras.utils.PyDataset):
        batches = map(data.__getitem__, range(data.num_batches or steps))
    for batch in batches:
        # Data loaders of torch return lists instead of tuples.
        parts = keras.utils.unpack_x_y_sample_weight(batch)
        yield keras.tree.map_structure(_as_tensor, as_arrays(parts))


def samples_in(batch):
    """Returns the number of samples in a batch."""
    return len(next(each for each in keras.tree.flatten(batch[0]) if each is not None))


def _as_tensor(each):
    if each is None or ops.is_tensor(each):
        return each
    if hasattr(each, "detach"):
        # Tensors of torch may be on a device.
        each = each.detach().cpu()
    return np.asarray(each)


def _readable_again(data, caller):
    """Returns the data, or a list of its batches if it can be read only once."""
    if isinstance(data, keras.utils.PyDataset) or iter(data) is not data:
        return data
    kept = list(itertools.islice(data, _MOST + 1))
    if len(kept) > _MOST:
        raise ValueError(_endless(caller, data))
    return kept


def _count(data, caller):
    """Returns the number of batches."""
    if never_ends(data):
        raise ValueError(_endless(caller, data))
    count = data.num_batches if isinstance(data, keras.utils.PyDataset) else _length(data)
    if count is None:
        count = sum(1 for _ in itertools.islice(data, _MOST + 1))
        if count > _MOST:
            raise ValueError(_endless(caller, data))
    if not count:
        raise ValueError(
            f"`{caller}` needs data. Received: {type(data).__name__} without batches. If it is a "
            "generator that was used before, create a new one."
        )
    return count


def _endless(caller, data):
    return (
        f"`{caller}` needs a finite number of batches, because it computes the mean over all of "
        f"them. Received: {type(data).__name__}, which is infinite, or has an unknown number of "
        f"more than {_MOST} batches. Pass some of them: `dataset.take(100)`, or "
        "`itertools.islice(generator, 100)`."
    )


def _samples_and_batches(arrays, batch_size):
    lengths = {len(each) for each in arrays if each is not None}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            "`x`, `y` and `sample_weight` must have the same number of samples, at least 1. "
            f"Received: {sorted(lengths)}"
        )
    validation.integer(batch_size, "batch_size", at_least=1, none="all in one batch")
    (samples,) = lengths
    return samples, math.ceil(samples / min(batch_size or samples, samples))


def _length(batches):
    """Returns the number of batches, or None if it is unknown."""
    try:
        return len(batches)
    except TypeError:
        return None
