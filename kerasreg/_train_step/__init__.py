"""Hooks inside Keras' compiled train step.

Only this package changes Keras' training. It patches instances, never classes, through `__dict__`,
so that Keras does not track, serialize or save the changes:

- a `Session` (`session.py`) is the change of a train step by a callback or context: it is entered,
  checks that it was applied, and is left.
- an `UpdateHook` per optimizer (`hook.py`, `patch.py`) runs updates after the optimizer's own, in
  `_backend_update_step`. This is the only method that every backend calls once per update, with
  the learning rate of this update, before moving averages and constraints (on torch, `update_step`
  is bypassed; constraints also run in steps that only accumulate gradients). State that updates
  need in later steps is kept in variables of the optimizer (`state.py`).
- a `TrainedPenalty` per variable (`penalties.py`) changes its penalty in the train step only.
- a `FitScope` per model (`fit.py`) makes Keras trace the train step again, and detects a `fit`
  that ended without `on_train_end`, because of an exception or Ctrl-C.
- `calling_lists` (`frames.py`) returns the callback lists with a running method.
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
