"""The step of a training."""

import weakref

import keras
from keras import ops


class StepCounter:
    """Iterations of the optimizer of `compile`, or batches where it is not the one that is applied.

    Every method that asks the optimizer is given the model anew: on JAX, the property `model` of a
    callback brings the state of training into the variables.
    """

    def __init__(self, model):
        self._model = weakref.ref(model)
        self._batches, self._by_batches = 0, False

    def is_of(self, model):
        """Whether this counts the steps of a model."""
        return self._model() is model

    def begin(self, steps_per_epoch):
        """A fit begins."""
        self._steps, self._begun_at = steps_per_epoch, None
        self._has_begun = False

    def begin_epoch(self, model, epoch):
        """An epoch begins."""
        if not self._has_begun:
            self._has_begun = True
            # A fit may go on with one of another process.
            self._batches = max(self._batches, epoch * (self._steps or 0))
            self._begun_at = _iterations(model)
            self._by_batches = self._by_batches or self._begun_at is None
        self._before = self._batches

    def end_batch(self, batch):
        """A batch ends; with `steps_per_execution` its number may be beyond the last one."""
        self._batches = self._before + min(batch + 1, self._steps or batch + 1)

    def end_epoch(self, model):
        """An epoch ends."""
        self._by_batches = self._by_batches or _iterations(model) == self._begun_at

    def step_after_batch(self, model):
        """The step at the end of a batch."""
        optimizer = getattr(model, "optimizer", None)
        # These do not count every batch; at the end of an epoch it is known.
        accumulates = getattr(optimizer, "gradient_accumulation_steps", None)
        if not accumulates and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            self.end_epoch(model)
        return self.step(model)

    def step(self, model):
        """The step now."""
        return self._batches if self._by_batches else _iterations(model)


def _iterations(model):
    optimizer = getattr(model, "optimizer", None)
    return None if optimizer is None else int(ops.convert_to_numpy(optimizer.iterations))
