"""Hooks inside Keras' compiled train step.

The one place that knows how. It patches instances, never classes, and through `__dict__`, so that
Keras tracks, serializes and saves nothing of it:

- a `Session` (`session.py`) is what a callback or a context does in a train step: it enters, checks
  that it ran, and leaves.
- an `UpdateHook` per optimizer (`hook.py`, `patch.py`) runs updates after the optimizer's own, in
  `_backend_update_step`. That is the only method which every backend calls once per real update,
  with the learning rate that this update used, before averages and constraints (`update_step` is
  bypassed on torch, constraints run on every micro-step of an accumulation). What they remember
  from step to step is kept in variables of the optimizer (`state.py`).
- a `TrainedPenalty` per variable (`penalties.py`) changes its penalty in the train step only.
- a `FitScope` per model (`fit.py`) makes Keras trace the train step anew, and notices when a
  `fit` ended without `on_train_end`, which is what Keras does after an exception or Ctrl-C.
- `calling_lists` (`frames.py`) finds the callback lists that are calling.
"""

from kerasreg._train_step.counter import finished_updates
from kerasreg._train_step.coverage import Coverage, other_optimizers
from kerasreg._train_step.fit import FitScope, borrowed
from kerasreg._train_step.hook import UpdateHook
from kerasreg._train_step.penalties import TrainedPenalty, plain
from kerasreg._train_step.replicas import sum_over_replicas
from kerasreg._train_step.running import require_idle
from kerasreg._train_step.session import Session, UpdateSession
from kerasreg._train_step.traces import forget_traces
from kerasreg._train_step.updates import Update

__all__ = [
    "Coverage",
    "FitScope",
    "Session",
    "TrainedPenalty",
    "Update",
    "UpdateHook",
    "UpdateSession",
    "borrowed",
    "finished_updates",
    "forget_traces",
    "other_optimizers",
    "plain",
    "require_idle",
    "sum_over_replicas",
]
