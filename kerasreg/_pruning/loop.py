"""Pruning in a loop of one's own."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from kerasreg._pruning.patterns.base import Pattern
from kerasreg._pruning.scores.base import Score
from kerasreg._pruning.session import PruningSession
from kerasreg._pruning.strategy import Strategy
from kerasreg._pruning.timeline import Run, Schedule


class PruningLoop:
    """What `kerasreg.pruning` gives: call `step()` after every step of the optimizer."""

    def __init__(self, session):
        self._session = session

    def step(self):
        """Prune if it is time to, and return whether it was."""
        self._session.look()
        return self._session.step()

    @property
    def pruned(self) -> dict[int, float]:
        """`{step: sparsity}` of every pruning, over the weights that are pruned."""
        return self._session.pruned


@contextlib.contextmanager
def pruning(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    schedule: float | Schedule | Callable | None,
    pattern: str | Pattern = "unstructured",
    score: str | Score | Callable = "magnitude",
    scope: str | Mapping[str, float] = "layer",
    include: str | None = None,
    exclude: str | None = None,
    hold: bool = True,
    regrow: str | None = None,
    regrow_fraction: float = 0.3,
    *,
    min_units: int = 1,
    steps: int | None = None,
    steps_per_epoch: int | None = None,
) -> Iterator[Any]:
    """Pruning in a loop of one's own.

    Inside, every `optimizer.apply` keeps the pruned weights at zero. Call `step()` after each of
    them, outside of the compiled function: it prunes when it is time to. On leaving, also through
    an exception, optimizer and model are as before; the zeros stay.

    Trace your train step (its first call under `tf.function`, `jax.jit`) inside of the context, and
    let it read the optimizer's variables, `optimizer.variables`: the masks are among them. A
    stateless loop on JAX writes its state back before `step()` and reads it again behind it.

    Args:
        model: a built Keras model.
        optimizer: the Keras optimizer that the loop applies; it is built if it is not.
        schedule, pattern, score, scope, include, exclude, hold, regrow, regrow_fraction, min_units:
            see `kerasreg.callbacks.Pruning`.
        steps: how many steps of the optimizer the loop will make, if the schedule needs it.
        steps_per_epoch: for schedules in epochs.

    Raises:
        ValueError: as `Pruning`.
        RuntimeError: on leaving, if the optimizer went on without masks because the step was
            traced before, or if `step()` was never called.

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    >>> optimizer = keras.optimizers.SGD(0.1)
    >>> schedule = kerasreg.schedules.OneShot(0.5, step=2)
    >>> with kerasreg.pruning(model, optimizer, schedule, steps=4) as loop:
    ...     for _ in range(4):
    ...         variables = model.trainable_variables
    ...         optimizer.apply([0 * variable for variable in variables], variables)
    ...         _ = loop.step()
    >>> loop.pruned
    {2: 0.5}
    """
    strategy = Strategy(
        schedule, pattern, score, scope, include, exclude, hold, regrow, regrow_fraction, min_units
    )
    run = Run(steps, steps_per_epoch, "Pass it: `kerasreg.pruning(..., {name}=...)`")
    strategy.plan(model, run, "kerasreg.pruning")
    with PruningSession(model, optimizer, strategy, "kerasreg.pruning") as session:
        session.start(run, remember=True)
        yield PruningLoop(session)
        session.require_all_steps()
        session.enforce()
        session.finish()
        session.outcome().warn(
            session.zeros(), "Make as many steps as the schedule has, or lower `end_step`."
        )
