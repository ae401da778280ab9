"""The progress of a run in the timeline of its schedule."""

import math


class Progress:
    """Which prunings of a run are done, and which is next.

    Args:
        timeline: a `Timeline`, or None for a run without a schedule.
        run: the `Run`.
        done: the number of steps that a checkpoint of this run had done, or None.
    """

    def __init__(self, timeline=None, run=None, done=None):
        self.timeline = timeline
        #: `(step, sparsity)` of the last pruning that the schedule has in this run.
        self.asked = (0, 0.0)
        #: The step of the latest pruning that was done, or None.
        self.last = None
        if timeline is None:
            return
        steps = timeline.due(math.inf if run.steps is None else run.steps)
        if steps:
            self.asked = steps[-1], timeline.sparsity(steps[-1])
        if done is not None:
            self.last = timeline.last_due(done)

    @property
    def sparsity(self):
        """The sparsity of the schedule in the latest pruning."""
        return 0.0 if self.last is None else self.timeline.sparsity(self.last)

    @property
    def next_due(self):
        """The step of the next pruning, or infinity."""
        if self.timeline is None:
            return math.inf
        due = self.timeline.next_due(-1 if self.last is None else self.last)
        return math.inf if due is None else due

    def due(self, step):
        """Returns the step of the pruning that is due after `step` steps and not done, or None."""
        due = None if self.timeline is None else self.timeline.last_due(step)
        return None if due == self.last else due
