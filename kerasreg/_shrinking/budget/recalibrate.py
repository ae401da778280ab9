"""The statistics of BatchNormalization, estimated anew."""

import contextlib
import itertools
import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops, tree

from kerasreg._common import validation
from kerasreg._common.batches import Batches, as_arrays, each_batch, is_batches, never_ends
from kerasreg._common.snapshot import unchanged
from kerasreg._graph.calls import replaced_call
from kerasreg._graph.variables import all_layers, require_built
from kerasreg._shrinking.costs.inference import without_gradients


def recalibrate(
    model: keras.Model, data: Any, batch_size: int = 128, steps: int | None = None
) -> int:
    """Estimate the moving means and variances of every BatchNormalization from data.

    Pruning changes what a normalization gets, while its moving statistics are still those of
    before; new ones often give back most of the accuracy, without any training.

    Every batch runs through the model once, normalized by its own statistics as in training, all
    else as in inference (no dropout). The new statistics are the mean and the variance of all
    numbers that a normalization got, not a moving average; the old ones have no influence. With
    `batch_size=None` they are exactly those of what each layer gets in inference afterwards.
    Nothing else changes.

    Args:
        model: a built Keras model.
        data: inputs as for `predict`, or a tuple `(inputs, ...)`; or batches of either, which may
            be a `keras.utils.PyDataset`, a `tf.data.Dataset`, a loader of torch or a generator.
            Some thousand samples are enough.
        batch_size: samples per batch of arrays, at most; the larger, the better. None is all at
            once.
        steps: how many batches to take, for data that does not end; None is all.

    Returns:
        The number of layers.

    Raises:
        ValueError: for a model without BatchNormalization, no data, or statistics that are NaN or
            infinite; then nothing is changed.

    Source: Wu & Johnson (2021), "Rethinking 'Batch' in BatchNorm" (PreciseBN).

    Example:

    >>> layers = [keras.Input((2,)), keras.layers.BatchNormalization()]
    >>> model = keras.Sequential(layers)
    >>> kerasreg.recalibrate(model, np.array([[0.0, 5.0], [4.0, 5.0]]))
    1
    >>> keras.ops.convert_to_numpy(model.layers[0].moving_variance)
    array([4., 0.], dtype=float32)
    """
    require_built(model, "kerasreg.recalibrate")
    found = [each for each in all_layers(model) if isinstance(each, layers.BatchNormalization)]
    if not found:
        raise ValueError(
            "`kerasreg.recalibrate` needs a model with BatchNormalization, whose statistics it "
            f"estimates. Received: '{model.name}', which has none. There is nothing to do."
        )
    seen = {id(layer): _Population() for layer in found}
    with contextlib.ExitStack() as stack:
        stack.enter_context(unchanged(model.non_trainable_variables))
        stack.enter_context(without_gradients())
        for layer in found:
            stack.enter_context(_watched(layer, seen[id(layer)]))
        for inputs in _inputs(data, batch_size, steps):
            model(inputs, training=False)
    _require_finite(found, seen)
    for layer in found:
        population = seen[id(layer)]
        # What the model never calls keeps what it has.
        if population.count:
            layer.moving_mean.assign(population.mean)
            layer.moving_variance.assign(population.squares / population.count)
    return len(found)


class _Population:
    """The mean, and the sum of squares about it, of all that was added."""

    def __init__(self):
        self.count, self.mean, self.squares = 0.0, 0.0, 0.0

    def add(self, mean, variance, count):
        """A part with this mean and variance."""
        mean, variance = (
            np.asarray(ops.convert_to_numpy(each), "float64") for each in (mean, variance)
        )
        total, gap = self.count + count, mean - self.mean
        self.squares = self.squares + count * variance + gap**2 * self.count * count / total
        self.mean = self.mean + gap * count / total
        self.count = total


def _watched(layer, population):
    call = layer.call

    def watch(inputs, training=None, mask=None):
        numbers, axes = _numbers(layer, inputs, mask)
        count = math.prod(numbers.shape) // numbers.shape[layer.axis]
        if count:
            mean = ops.mean(numbers, axes, keepdims=True)
            variance = ops.mean(ops.square(numbers - mean), axes)
            mean = ops.reshape(mean, [-1])
            population.add(mean, variance, count)
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
        return call(inputs, training=False, mask=mask)

    return replaced_call(layer, watch)


def _numbers(layer, inputs, mask):
    """What a layer normalizes, and all axes but that of the features."""
    inputs = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
    if mask is not None:
        # Of masked steps, nothing counts; the features are last then.
        inputs = ops.convert_to_numpy(inputs)[np.asarray(ops.convert_to_numpy(mask), bool)]
        inputs = ops.convert_to_tensor(inputs)
    rank = len(inputs.shape)
    return inputs, [axis for axis in range(rank) if axis != layer.axis % rank]


def _inputs(data, batch_size, steps):
    """Batch after batch of inputs."""
    validation.integer(steps, "steps", at_least=1, none="all batches")
    count = 0
    for inputs, *_ in itertools.islice(_batches(data, batch_size, steps), steps):
        yield inputs
        count += 1
    if not count:
        raise ValueError(
            "`kerasreg.recalibrate` needs data. Received: no batch at all. A generator that was "
            "used up before gives none."
        )


def _batches(data, batch_size, steps):
    arrays = as_arrays(data[0] if isinstance(data, tuple) and data else data)
    leaves = tree.flatten(arrays)
    if leaves and all(hasattr(each, "shape") for each in leaves):
        return iter(Batches(arrays, None, None, batch_size, "kerasreg.recalibrate"))
    if not is_batches(data):
        raise ValueError(
            "`data` must be arrays, a tuple that begins with them, or batches of these. Received: "
            f"data of type {type(data).__name__}"
        )
    if steps is None and never_ends(data):
        raise ValueError(
            "`steps` must tell how many batches to take of data that does not end. Received: "
            f"steps=None with data of type {type(data).__name__}"
        )
    return each_batch(data, steps)


def _require_finite(found, seen):
    for layer in found:
        population = seen[id(layer)]
        if not (np.isfinite(population.mean).all() and np.isfinite(population.squares).all()):
            raise ValueError(
                f"`kerasreg.recalibrate` needs finite numbers. Received: NaN or infinity in what "
                f"'{layer.name}' gets; no layer is changed. Look for it in the data, and in the "
                "weights in front of this layer."
            )
