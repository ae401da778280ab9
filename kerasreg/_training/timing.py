"""How long a run takes, and whether a smaller model pays."""

import time


class Timing:
    """The seconds of steps and epochs, and of what a new model costs before its second step."""

    def __init__(self):
        self._begun, self._first, self.step = None, None, None
        #: Seconds from the begin of the work on a model to the end of its first step.
        self.restart = 0.0
        #: Seconds of an epoch, without those.
        self.epoch = 0.0
        #: How much of the saving that was predicted was seen the last time.
        self.share_seen = 1.0
        self._before, self._fraction = None, None

    def begin_model(self, fraction=None):
        """Work on a model begins; `fraction` of the operations are gone."""
        self._before, self._fraction = self.step, fraction
        self._begun, self._first = time.perf_counter(), None

    def begin_epoch(self):
        """An epoch begins."""
        self._epoch_begun, self._steps = time.perf_counter(), 0

    def end_step(self, steps):
        """Steps of an epoch ended, `steps` of them so far."""
        if self._first is None:
            self._first = time.perf_counter()
            self.restart = self._first - self._begun
            self._epoch_begun, steps_before = self._first, steps
            self._skipped = steps_before
        self._steps = steps
        self._last = time.perf_counter()

    def end_epoch(self):
        """An epoch ended; it begins with its second step where its first one was compiled."""
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
        """Whether a model without this fraction of the operations saves more than it costs."""
        return self.epoch * fraction * self.share_seen * epochs > self.restart
