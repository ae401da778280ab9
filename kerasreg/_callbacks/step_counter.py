"""The number of the current step of a training."""

import weakref

import keras
from keras import ops


class StepCounter:
    """Counts optimizer iterations, or batches if the optimizer of `compile` is not applied.

    Methods that read the optimizer take the model as an argument: on JAX, reading `callback.model`
    copies the training state into the variables.
    """

    def __init__(self, model):
        self._model = weakref.ref(model)
        self._batches, self._by_batches = 0, False

    def is_of(self, model):
        """Returns whether this counts the steps of a model."""
        return self._model() is model

    def follow(self, model):
        """Continues with another model, whose optimizer has the same number of iterations."""
        self._model = weakref.ref(model)

    def begin(self, steps_per_epoch):
        """Call when a fit begins."""
        self._steps, self._begun_at = steps_per_epoch, None
        self._has_begun = False

    def begin_epoch(self, model, epoch):
        """Call when an epoch begins."""
        if not self._has_begun:
            self._has_begun = True
            # The fit may continue one of another process.
            self._batches = max(self._batches, epoch * (self._steps or 0))
            self._begun_at = _iterations(model)
            self._by_batches = self._by_batches or self._begun_at is None
        self._before = self._batches

    def end_batch(self, batch):
        """Call when a batch ends; its number may be too high with `steps_per_execution`."""
        self._batches = self._before + min(batch + 1, self._steps or batch + 1)

    def end_epoch(self, model):
        """Call when an epoch ends."""
        self._by_batches = self._by_batches or _iterations(model) == self._begun_at

    def step_after_batch(self, model):
        """Returns the step at the end of a batch."""
        optimizer = getattr(model, "optimizer", None)
        # These optimizers do not count every batch, so only the end of an epoch is conclusive.
        accumulates = getattr(optimizer, "gradient_accumulation_steps", None)
        if not accumulates and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            self.end_epoch(model)
        return self.step(model)

    def step(self, model):
        """Returns the current step."""
        return self._batches if self._by_batches else _iterations(model)


def _iterations(model):
    optimizer = getattr(model, "optimizer", None)
    return None if optimizer is None else int(ops.convert_to_numpy(optimizer.iterations))
