"""`kerasreg.recalibrate`: new estimates of the statistics of BatchNormalization."""

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
    model: keras.Model, data: Any, batch_size: int | None = 128, steps: int | None = None
) -> int:
    """Estimates the moving means and variances of all BatchNormalization layers from data.

    Pruning changes the inputs of the normalization layers, but not their moving statistics. New
    statistics often recover most of the accuracy without training.

    Every batch passes through the model once. BatchNormalization uses the statistics of the batch,
    as in training; all other layers run in inference mode (no dropout). The new statistics are the
    mean and the variance over all inputs of a layer, not a moving average. They do not depend on
    the old ones. With `batch_size=None` they are exactly those of the inputs of each layer in
    inference afterwards. No other variable changes.

    Args:
        model: a built Keras model.
        data: inputs as for `predict`, or a tuple `(inputs, ...)`; or batches of either: a
            `keras.utils.PyDataset`, a `tf.data.Dataset`, a torch `DataLoader` or a generator.
            A few thousand samples are enough.
        batch_size: maximum number of samples per batch, for arrays. Larger batches give better
            estimates. None uses all samples in one batch. Default: 128.
        steps: number of batches to use. It is needed for infinite data. Default: None, which uses
            all batches.

    Returns:
        The number of BatchNormalization layers.

    Raises:
        ValueError: for a model that is not built or has no BatchNormalization, for no data, and
            for statistics that are NaN or infinite. No variable is changed then.

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
            f"estimates. Received: '{model.name}', which has no such layer. A model without "
            "BatchNormalization needs no recalibration."
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
        # A layer that the model does not call keeps its statistics.
        if population.count:
            layer.moving_mean.assign(population.mean)
            layer.moving_variance.assign(population.squares / population.count)
    return len(found)


class _Population:
    """The running mean of added values, and the sum of their squared deviations from it."""

    def __init__(self):
        self.count, self.mean, self.squares = 0.0, 0.0, 0.0

    def add(self, mean, variance, count):
        """Adds `count` values with this mean and variance."""
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
    """Returns the values that a layer normalizes, and all axes but that of the features."""
    inputs = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
    if mask is not None:
        # Masked steps are left out. Keras supports masks only with the features last.
        inputs = ops.convert_to_numpy(inputs)[np.asarray(ops.convert_to_numpy(mask), bool)]
        inputs = ops.convert_to_tensor(inputs)
    rank = len(inputs.shape)
    return inputs, [axis for axis in range(rank) if axis != layer.axis % rank]


def _inputs(data, batch_size, steps):
    """Yields the inputs of each batch."""
    validation.integer(steps, "steps", at_least=1, none="all batches")
    count = 0
    for inputs, *_ in itertools.islice(_batches(data, batch_size, steps), steps):
        yield inputs
        count += 1
    if not count:
        raise ValueError(
            "`kerasreg.recalibrate` needs data. Received: no batch. A generator can be used only "
            "once: pass a new one."
        )


def _batches(data, batch_size, steps):
    arrays = as_arrays(data[0] if isinstance(data, tuple) and data else data)
    leaves = tree.flatten(arrays)
    if leaves and all(hasattr(each, "shape") for each in leaves):
        return iter(Batches(arrays, None, None, batch_size, "kerasreg.recalibrate"))
    if not is_batches(data):
        raise ValueError(
            "`data` must be inputs (arrays), a tuple `(inputs, ...)`, or batches of either. "
            f"Received: data of type {type(data).__name__}"
        )
    if steps is None and never_ends(data):
        raise ValueError(
            "`steps` must be the number of batches to use, because the data is infinite. "
            f"Received: steps=None with data of type {type(data).__name__}"
        )
    return each_batch(data, steps)


def _require_finite(found, seen):
    for layer in found:
        population = seen[id(layer)]
        if not (np.isfinite(population.mean).all() and np.isfinite(population.squares).all()):
            raise ValueError(
                "`kerasreg.recalibrate` needs finite values. Received: NaN or infinite inputs of "
                f"'{layer.name}'. No layer is changed. Check the data, and the weights of the "
                "layers before this one."
            )
