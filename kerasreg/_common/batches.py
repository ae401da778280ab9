"""The one door for data: everything that `fit` takes, in batches that can be read again."""

import itertools
import math

import keras
import numpy as np
from keras import ops

from kerasreg._common import validation

#: A generator that gives more batches than this counts as one that does not end.
_MOST = 2_000
_TAKES = (
    "arrays, DataFrames, or, as `x` alone, batches: a `tf.data.Dataset`, `PyDataset`, loader of "
    "torch or grain, or a generator that ends"
)


class Batches:
    """Batches as equal as possible, each `(x, y, sample_weight)` for `train_on_batch`.

    Args:
        x, y, sample_weight: arrays, DataFrames or nested structures of these, or `x` alone as
            batches: `tf.data.Dataset`, `PyDataset`, the loaders of torch and grain, any iterable.
            A generator is read once and kept.
        batch_size: samples per batch of arrays; None is all in one.
        caller: who asks, for error messages.
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
        """Whether they are parts of arrays, and not batches that somebody else has made."""
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
    """DataFrames, Series and lists of numbers become arrays; all else stays as it is."""
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
            # Columns of several types, or numbers that may be missing.
            array = each.to_numpy(dtype="float32")
        return array

    return keras.tree.map_structure(convert, data)


def is_batches(data):
    """Whether data is batches, and not arrays or a structure of these."""
    is_dataset = isinstance(data, keras.utils.PyDataset) or hasattr(data, "__iter__")
    return is_dataset and not isinstance(data, (str, bytes, list, tuple, dict))


def never_ends(data):
    """Whether data says of itself that it does not end."""
    if isinstance(data, keras.utils.PyDataset):
        return data.num_batches is None
    # What `tf.data` calls infinite is -1.
    return hasattr(data, "cardinality") and int(data.cardinality()) == -1


def each_batch(data, steps=None):
    """`(x, y, sample_weight)` of every batch, in tensors of this backend or in arrays."""
    batches = data
    if isinstance(data, keras.utils.PyDataset):
        batches = map(data.__getitem__, range(data.num_batches or steps))
    for batch in batches:
        # A loader of torch gives lists where others give tuples.
        parts = keras.utils.unpack_x_y_sample_weight(batch)
        yield keras.tree.map_structure(_as_tensor, as_arrays(parts))


def samples_in(batch):
    """The number of samples in a batch."""
    return len(next(each for each in keras.tree.flatten(batch[0]) if each is not None))


def _as_tensor(each):
    if each is None or ops.is_tensor(each):
        return each
    if hasattr(each, "detach"):
        # A tensor of torch may be on a device.
        each = each.detach().cpu()
    return np.asarray(each)


def _readable_again(data, caller):
    """The data itself, or the batches of what can be read only once."""
    if isinstance(data, keras.utils.PyDataset) or iter(data) is not data:
        return data
    kept = list(itertools.islice(data, _MOST + 1))
    if len(kept) > _MOST:
        raise ValueError(_endless(caller, data))
    return kept


def _count(data, caller):
    """The number of batches."""
    if never_ends(data):
        raise ValueError(_endless(caller, data))
    count = data.num_batches if isinstance(data, keras.utils.PyDataset) else _length(data)
    if count is None:
        count = sum(1 for _ in itertools.islice(data, _MOST + 1))
        if count > _MOST:
            raise ValueError(_endless(caller, data))
    if not count:
        raise ValueError(
            f"`{caller}` needs data. Received: {type(data).__name__} without a batch. A generator "
            "that was used up before gives none."
        )
    return count


def _endless(caller, data):
    return (
        f"`{caller}` needs batches with a known number, because it takes the mean over all of "
        f"them. Received: {type(data).__name__}, which does not end or gives more than {_MOST} "
        "batches of an unknown number. Take some: `dataset.take(100)`, "
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
    """The number of batches, or None where it is unknown."""
    try:
        return len(batches)
    except TypeError:
        return None
