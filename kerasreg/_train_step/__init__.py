"""Functions of ours inside of Keras' compiled train step, and out of it again.

The one place that knows how. It patches instances, never classes, and through `__dict__`, so that
Keras tracks, serializes and saves nothing of it:

- an `UpdateHook` per optimizer (`updates.py`) runs updates after the optimizer's own, in
  `_backend_update_step`. That is the only method which every backend calls once per real update,
  with the learning rate that this update used, before averages and constraints (`update_step` is
  bypassed on torch, constraints run on every micro-step of an accumulation). What they remember
  from step to step is kept in variables of the optimizer (`state.py`).
- a `TrainedPenalty` per variable (`penalties.py`) changes its penalty in the train step only.
- a `FitScope` per model (`fit.py`) makes Keras trace the train step anew, and notices when a
  `fit` ended without `on_train_end`, which is what Keras does after an exception or Ctrl-C.
"""

from kerasreg._train_step.counter import finished_updates
from kerasreg._train_step.coverage import Coverage, other_optimizers
from kerasreg._train_step.fit import FitScope, borrowed
from kerasreg._train_step.penalties import TrainedPenalty, plain
from kerasreg._train_step.running import require_idle
from kerasreg._train_step.traces import forget_traces
from kerasreg._train_step.updates import Update, UpdateHook, sum_over_replicas

__all__ = [
    "Coverage",
    "FitScope",
    "TrainedPenalty",
    "Update",
    "UpdateHook",
    "borrowed",
    "finished_updates",
    "forget_traces",
    "other_optimizers",
    "plain",
    "require_idle",
    "sum_over_replicas",
]
