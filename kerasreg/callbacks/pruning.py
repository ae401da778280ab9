"""Pruning during `fit`."""

import math
from collections.abc import Callable, Mapping

import keras

from kerasreg._callbacks.behaviour import prunes_weights
from kerasreg._callbacks.session_callback import SessionCallback, ending
from kerasreg._callbacks.siblings import put_off, run_after
from kerasreg._common.types import Logs
from kerasreg._pruning.patterns.base import Pattern
from kerasreg._pruning.plan import Plan
from kerasreg._pruning.scores.base import Score
from kerasreg._pruning.session import PruningSession
from kerasreg._pruning.strategy import Strategy
from kerasreg._pruning.timeline import Run, Schedule

_OF_UNKNOWN_LENGTH = (
    "Data of a finite, known length: tell it with `dataset.apply("
    "tf.data.experimental.assert_cardinality(batches))`. Data without an end: pass "
    "`steps_per_epoch` to `fit`; finite data need `dataset.repeat()` then, or they run dry in a "
    "later epoch"
)


class Pruning(SessionCallback):
    """Prune weights while the model trains: to exact zeros, in the compiled step.

    What is pruned is zero after every step, in every checkpoint, in the moving averages of the
    optimizer, and what it remembers of it is cleared. It works on variables: any model, any layer,
    any optimizer of Keras, on all backends. When the fit is over, model and optimizer are as
    before, and the zeros stay. Checkpoints that are written meanwhile open in stock Keras, and a
    fit that resumes from one goes on with its masks (`BackupAndRestore`), or with its zeros (any
    other).

    Args:
        schedule: how sparse, and when: a float, which is the final sparsity of
            `kerasreg.schedules.Polynomial`; a schedule of `kerasreg.schedules` (`Hold()` keeps the
            zeros that are there); or a function from the step to a sparsity. None is the sparsity
            of an N:M pattern.
        pattern: what goes together: `"unstructured"`, `"2:4"`, `"unit"` (filters, neurons; those
            of the model's outputs are left out unless `include` names them), `"input"` (features,
            channels), `"head"` (whole heads of attention), `"coupled"` (units with all that
            computes and reads them), or one of `kerasreg.patterns`.
        score: what goes first: `"magnitude"`, `"taylor"`, `"movement"`, `"random"`, one of
            `kerasreg.scores`, or a function `(variable, weights) -> array`.
        scope: how the zeros are shared out: `"layer"` (the same fraction of each variable),
            `"global"` (the lowest scores of all), `"erk"` (small layers stay denser), or a dict
            from regular expression to the final sparsity of the variables with a path in which it
            is found.
        include: regular expression of the paths to prune. Default: all trainable variables of
            two or more dimensions but normalizations, biases and adapters.
        exclude: regular expression of paths to leave alone.
        hold: whether what is pruned stays zero. Without, it may grow until the next pruning, and
            the last one is made again when the fit ends (soft pruning).
        regrow: None, or how to choose dead weights that get another chance at every pruning:
            `"gradient"` (RigL, 4 bytes per weight) or `"random"` (SET).
        regrow_fraction: of the weights that are alive, at first; it falls to 0 like a cosine.
        min_units: at least as many units (weights, filters, blocks ...) of every variable stay,
            unless the sparsity is 1.0, because a layer without weights makes the model
            constant. A warning says where it binds. 0 lets whole layers go.

    What is not pruned is skipped, not fatal: `plan` says what and why. After the fit, `pruned` is
    `{step: sparsity}` of every pruning, and `sparsity` the fraction of zeros that the weights have.
    Weights that another callback sets stay as they were set, zeros included: the best ones of
    `EarlyStopping(restore_best_weights=True)` may have fewer zeros than the schedule asked for. A
    warning says so, as it does when the fit ends before the schedule.

    Raises:
        ValueError: for bad arguments; at the start of `fit`, for a model that is not built, an
            expression that matches nothing, or a schedule that prunes nothing in this run; and for
            NaN or infinite weights when it prunes.
        RuntimeError: after the first batches, if the model's train step trains weights with
            another optimizer than that of `compile`.

    Example:

    >>> layers = [keras.Input((8,)), keras.layers.Dense(6, name="dense")]
    >>> model = keras.Sequential(layers, name="net")
    >>> model.compile("adam", "mse")
    >>> pruning = kerasreg.callbacks.Pruning(0.75, pattern="unstructured")
    >>> x, y = np.ones((32, 8)), np.ones((32, 6))
    >>> _ = model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[pruning])
    >>> kerasreg.statistics(model)["net/dense/kernel"].sparsity
    0.75
    """

    prunes_weights = True

    def __init__(
        self,
        schedule: float | Schedule | Callable | None = None,
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
    ):
        super().__init__()
        self._strategy = Strategy(
            schedule,
            pattern,
            score,
            scope,
            include,
            exclude,
            hold,
            regrow,
            regrow_fraction,
            min_units,
        )
        #: The fraction of zeros in what was pruned, when the last fit ended; None before.
        self.sparsity: float | None = None

    @property
    def pruned(self) -> dict[int, float]:
        """`{step: sparsity}` of the prunings of the last fit, over the weights that are pruned.

        Those that the weights no longer have are not in it: `EarlyStopping` may have restored
        older ones.
        """
        return {} if self._session is None else self._session.pruned

    def plan(
        self,
        model: keras.Model,
        steps: int | None = None,
        steps_per_epoch: int | None = None,
        print_fn: Callable[[str], object] | None = None,
    ) -> Plan:
        """Print what a fit would prune, how far and when, and what not; a dry run.

        Args:
            model: a built Keras model.
            steps: how many steps of the optimizer the run has.
            steps_per_epoch: for schedules in epochs.
            print_fn: called once with the table as plain text; default prints in colour.

        Returns:
            A `Plan`, as `kerasreg.prune` returns it.

        Raises:
            ValueError: as `fit` would, above all if nothing would ever be pruned.

        Example:

        >>> layers = [keras.Input((8,)), keras.layers.Dense(6, name="dense")]
        >>> model = keras.Sequential(layers, name="net")
        >>> lines = []
        >>> pruning = kerasreg.callbacks.Pruning(0.75)
        >>> plan = pruning.plan(model, steps=1000, print_fn=lines.append)
        >>> plan["net/dense/kernel"].sparsity, plan.steps[-1]
        (0.75, 750)
        >>> plan.skipped
        {'net/dense/bias': 'a bias or other 1-D variable: name it in `include` to prune it'}
        """
        run = Run(steps, steps_per_epoch, "Pass it: `plan(model, {name}=...)`")
        plan = self._strategy.plan(model, run, "Pruning")
        plan.print(print_fn)
        return plan

    def on_train_begin(self, logs: Logs = None) -> None:
        run_after(self, lambda each: not prunes_weights(each))
        self._has_ended, self._outcome = False, None
        self.enter(self._make_session)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        done = epoch * self._run.steps_per_epoch if self._run.steps_per_epoch else 0
        if not self.start_once(self._run, int(done)):
            self._session.follow()
        self._done = self._session.done()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        # The batch may be beyond the last one and an update may be skipped: this many at most.
        # Only then it is worth to wait for the device and to ask for the true number.
        if self._done + batch + 1 >= self._session.next_due:
            self.synchronize()
            self._session.step()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.synchronize()
        self._session.step()
        self._session.enforce()
        self.check()

    def on_train_end(self, logs: Logs = None) -> None:
        self.synchronize()
        if not self._has_ended:
            self._has_ended = True
            # Without an epoch, as when a fit resumes that was over, nothing was begun.
            if self._is_started:
                with ending(self, "prune"):
                    self._session.finish()
                self._outcome = self._session.outcome()
            self.leave()
            # Any of the others may set weights now, as `EarlyStopping` does.
            if put_off(self, until=lambda each: True):
                return
        if self._outcome is not None:
            self._tell()

    def _make_session(self, scope):
        self._run = self._run_of_fit()
        self._strategy.plan(self.model, self._run, "Pruning")
        return PruningSession(self.model, self.model.optimizer, self._strategy, "Pruning", scope)

    def _tell(self):
        """Say what the weights are, after all callbacks have set them."""
        self.sparsity = self._session.zeros()
        self._session.forget_above(self.sparsity)
        self._outcome.warn(self.sparsity, *_remedies(self._outcome, self._run))

    def _run_of_fit(self):
        epochs, steps = self.params.get("epochs"), self.params.get("steps")
        if epochs is None or steps is None:
            return Run(remedy=_OF_UNKNOWN_LENGTH)
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        accumulation = getattr(optimizer, "gradient_accumulation_steps", None) or 1
        return Run(epochs * steps // accumulation, steps / accumulation)


def _remedies(outcome, run):
    """What to do in a fit that ended too early, and in one that set older weights."""
    epoch = "N" if not run.steps_per_epoch else math.ceil(outcome.step / run.steps_per_epoch)
    wait = f"`EarlyStopping(start_from_epoch={epoch})`"
    return (
        f"Train longer ({wait} waits for the schedule; data need enough batches, see `.repeat()`), "
        "or lower `end_step`.",
        f"Choose the best epoch among those that have all zeros: {wait} looks no earlier, and so "
        "does every callback of your own that monitors from there on.",
    )
