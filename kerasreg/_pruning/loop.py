"""Pruning in a custom training loop."""

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
    """The value of the context `kerasreg.pruning`: call `step()` after every optimizer step."""

    def __init__(self, session):
        self._session = session

    def step(self):
        """Prunes if the schedule is due, and returns whether it was."""
        self._session.look()
        return self._session.step()

    @property
    def pruned(self) -> dict[int, float]:
        """The prunings so far, as `{step: sparsity of the pruned variables}`."""
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
    """A context for pruning in a custom training loop.

    Inside the context, every `optimizer.apply` keeps the pruned weights at zero. Call `step()`
    after each of them, outside the compiled function; it prunes when the schedule is due. When the
    context ends, also by an exception, optimizer and model work as before, and the zeros remain.

    Trace the train step (its first call under `tf.function` or `jax.jit`) inside the context, and
    let it use `optimizer.variables`, which include the masks. A stateless loop on JAX must write
    its state back to the variables before `step()`, and read it again afterwards.

    Args:
        model: a built Keras model.
        optimizer: the Keras optimizer that the loop applies. It is built if necessary.
        schedule, pattern, score, scope, include, exclude, hold, regrow, regrow_fraction, min_units:
            see `kerasreg.callbacks.Pruning`.
        steps: the number of optimizer steps of the loop, if the schedule needs it.
        steps_per_epoch: the number of optimizer steps per epoch, for schedules in epochs.

    Yields:
        An object with the method `step()`, and with `pruned`, which is
        `{step: sparsity of the pruned variables}`.

    Raises:
        ValueError: as `kerasreg.callbacks.Pruning`.
        RuntimeError: at the end of the context, if updates were made without masks because the step
            was traced before the context, or if `step()` was never called.

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
