"""Measures training times and predicts whether a smaller model saves time."""

import time


class Timing:
    """The times of a run in seconds: per step, per epoch and per change of the model.

    The first step of a model is compiled, so it is not part of the time per step.
    """

    def __init__(self):
        self._begun, self._first, self.step = None, None, None
        #: Seconds from `begin_model` to the end of the first step, without the time of one step.
        self.restart = 0.0
        #: Seconds of an epoch, without `restart`.
        self.epoch = 0.0
        #: The measured saving of the last model as a fraction of the predicted one, 0.05 to 1.
        self.share_seen = 1.0
        self._before, self._fraction = None, None

    def begin_model(self, fraction=None):
        """Call before a model is created or trained for the first time.

        Args:
            fraction: float, the fraction of the FLOPs that was removed, or None.
        """
        self._before, self._fraction = self.step, fraction
        self._begun, self._first = time.perf_counter(), None

    def begin_epoch(self):
        """Call when an epoch begins."""
        self._epoch_begun, self._steps = time.perf_counter(), 0

    def end_step(self, steps):
        """Call when a step ends, with the number of steps of this epoch so far."""
        if self._first is None:
            self._first = time.perf_counter()
            self.restart = self._first - self._begun
            self._epoch_begun, steps_before = self._first, steps
            self._skipped = steps_before
        self._steps = steps
        self._last = time.perf_counter()

    def end_epoch(self):
        """Call when an epoch ends. A first step that was compiled is not measured."""
        now, skipped = time.perf_counter(), self._skipped
        self._skipped = 0
        counted = self._steps - skipped
        if counted <= 0:
            return
        self.step = (self._last - self._epoch_begun) / counted
        self.epoch = now - self._epoch_begun + skipped * self.step
        self.restart = max(0.0, self.restart - self.step) if skipped else self.restart
        if self._before and self._fraction:
            seen = (1 - self.step / self._before) / self._fraction
            self.share_seen = min(1.0, max(0.05, seen))
            self._before = None

    def pays(self, fraction, epochs):
        """Returns whether removing this fraction of the FLOPs saves more time than it takes.

        Args:
            fraction: float, the fraction of the FLOPs to remove.
            epochs: int, the number of remaining epochs.
        """
        return self.epoch * fraction * self.share_seen * epochs > self.restart
