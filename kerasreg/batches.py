"""Data in batches: arrays, nested structures of arrays, or what is in batches already."""

import itertools
import math

import keras


class Batches:
    """Batches as equal as possible, each a tuple for `train_on_batch`.

    Args:
        x, y, sample_weight: arrays or nested structures of arrays, or `x` alone as an iterable of
            batches with a length (`tf.data.Dataset`, `PyDataset`).
        batch_size: samples per batch of arrays; None is all in one.
        caller: who asks, for error messages.
    """

    def __init__(self, x, y, sample_weight, batch_size, caller):
        arrays = keras.tree.flatten((x, y, sample_weight))
        self._arrays = all(each is None or hasattr(each, "shape") for each in arrays)
        self._parts = (x, y, sample_weight)
        if self._arrays:
            self._samples, self._count = _samples_and_batches(arrays, batch_size)
        elif y is None and sample_weight is None and _length(x):
            self._count = _length(x)
        else:
            raise ValueError(
                f"`{caller}` needs arrays, or as `x` alone batches with a known number (`len`), "
                "because it takes the mean over all of them. Received: "
                f"x={type(x).__name__}, y={type(y).__name__}"
            )

    @property
    def are_arrays(self):
        """Whether they are parts of arrays, and not batches that somebody else has made."""
        return self._arrays

    def __len__(self):
        return self._count

    def __iter__(self):
        if not self._arrays:
            for batch in itertools.islice(self._parts[0], self._count):
                yield batch if isinstance(batch, tuple) else (batch,)
            return
        size = math.ceil(self._samples / self._count)
        for start in range(0, self._samples, size):
            part = slice(start, start + size)
            yield keras.tree.map_structure(
                lambda array: None if array is None else array[part],  # noqa: B023
                self._parts,
            )


def samples_in(batch):
    """The number of samples in a batch."""
    return len(next(each for each in keras.tree.flatten(batch[0]) if each is not None))


def _samples_and_batches(arrays, batch_size):
    lengths = {len(each) for each in arrays if each is not None}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            "`x`, `y` and `sample_weight` must have the same number of samples, at least 1. "
            f"Received: {sorted(lengths)}"
        )
    if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
        raise ValueError(
            f"`batch_size` must be None or an int of at least 1. Received: {batch_size!r}"
        )
    (samples,) = lengths
    return samples, math.ceil(samples / min(batch_size or samples, samples))


def _length(batches):
    """The number of batches, or None where it is unknown or infinite."""
    try:
        return len(batches)
    except TypeError:
        return None
