"""How far a run is in the timeline of its schedule."""

import math


class Progress:
    """The prunings of a run, those that are over and those to come.

    Args:
        timeline: a `Timeline`, or None for a run without one.
        run: the `Run`.
        done: the steps that a checkpoint of this run had made, or None.
    """

    def __init__(self, timeline=None, run=None, done=None):
        self.timeline = timeline
        #: `(step, sparsity)` of the last pruning of the run.
        self.asked = (0, 0.0)
        #: The step of the last pruning so far, or None.
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
        """That of the schedule in the last pruning."""
        return 0.0 if self.last is None else self.timeline.sparsity(self.last)

    @property
    def next_due(self):
        """The next step in which weights are pruned, or infinity."""
        if self.timeline is None:
            return math.inf
        due = self.timeline.next_due(-1 if self.last is None else self.last)
        return math.inf if due is None else due

    def due(self, step):
        """The step of the pruning that is due after `step` steps and not made, or None."""
        due = None if self.timeline is None else self.timeline.last_due(step)
        return None if due == self.last else due
