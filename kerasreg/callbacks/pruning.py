"""Pruning during `fit`."""

import math
from collections.abc import Callable, Mapping

import keras

from kerasreg._callbacks.behaviour import prunes_weights
from kerasreg._callbacks.best_files import BestFiles
from kerasreg._callbacks.session_callback import SessionCallback, ending
from kerasreg._callbacks.siblings import put_off, run_after
from kerasreg._common.types import Logs
from kerasreg._pruning.outcome import remedies_of_fit
from kerasreg._pruning.patterns.base import Pattern
from kerasreg._pruning.plan import Plan
from kerasreg._pruning.scores.base import Score
from kerasreg._pruning.session import PruningSession
from kerasreg._pruning.strategy import Strategy
from kerasreg._pruning.timeline import Run, Schedule


class Pruning(SessionCallback):
    """Prunes weights to exact zeros while the model trains.

    Pruned weights are zero after every optimizer step, in every checkpoint, and in the moving
    averages of `use_ema`; their optimizer slots (such as momentum) are cleared. Masks are applied
    to variables inside the compiled train step, so any model, layer and optimizer of Keras works,
    on all backends. After the fit, model and optimizer work as before, and the zeros remain.
    Checkpoints written during the fit open in stock Keras. A fit that resumes from a checkpoint
    continues with its masks (`BackupAndRestore`), or with its zeros (all other checkpoints).

    Args:
        schedule: the sparsity over time: a float, which is the final sparsity of
            `kerasreg.schedules.Polynomial`; a schedule of `kerasreg.schedules` (`Hold()` keeps the
            existing zeros); or a function from the number of finished optimizer steps to a
            sparsity. None is allowed for N:M patterns, and means their sparsity.
        pattern: which weights are pruned together: `"unstructured"` (single weights), `"2:4"`,
            `"unit"` (filters, neurons; those that are outputs of the model are skipped unless
            `include` names them), `"input"` (features, channels), `"head"` (whole attention heads),
            `"coupled"` (units with all weights that compute and read them), or a pattern of
            `kerasreg.patterns`.
        score: how important each weight is; the lowest scores are pruned first: `"magnitude"`,
            `"taylor"`, `"movement"`, `"random"`, a score of `kerasreg.scores`, or a function
            `(variable, weights) -> array`.
        scope: how the zeros are distributed over the variables: `"layer"` (the same fraction of
            each variable), `"global"` (the lowest scores of all variables together), `"erk"` (small
            layers are pruned less), or a dict from regular expression to the final sparsity of the
            variables whose path it matches.
        include: regular expression, searched in the paths of the variables to prune. Default: all
            trainable variables of two or more dimensions, except normalizations, biases and
            adapters.
        exclude: regular expression, searched in the paths of variables that are not pruned.
        hold: whether pruned weights stay zero. If False, they may grow again until the next
            pruning, and the last pruning is repeated at the end of the fit (soft pruning).
        regrow: None, or how to choose pruned weights that may grow again at every pruning, in
            exchange for others: `"gradient"` (RigL, 4 bytes per weight) or `"random"` (SET).
        regrow_fraction: the fraction of the remaining units that is exchanged at first; it
            decreases to 0 along a cosine.
        min_units: the minimum number of units (weights, filters, blocks ...) that remain in every
            variable, unless the sparsity is 1.0. It prevents layers without weights, which make the
            output of the model constant. A warning names the variables that it applies to. With 0,
            whole layers may be pruned.

    Variables that cannot be pruned are skipped; `plan` lists them with the reason. After the fit,
    `pruned` is `{step: sparsity}` with one item per pruning, and `sparsity` is the fraction of
    zeros in the weights. Weights that another callback sets are left unchanged: those that
    `EarlyStopping(restore_best_weights=True)` restores may have fewer zeros than the schedule asked
    for. A warning says so, also for the epoch of a `ModelCheckpoint(save_best_only=True)`, and when
    the fit ends before the schedule does.

    Raises:
        ValueError: for invalid arguments; at the start of `fit`, for a model that is not built, an
            expression that matches nothing, or a schedule that prunes nothing in this run; when
            weights are pruned, for NaN or infinite weights.
        RuntimeError: after the first batches, if the model's train step trains pruned weights with
            an optimizer other than that of `compile`.

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
        #: The fraction of zeros in the pruned variables after the last fit, or None before.
        self.sparsity: float | None = None

    @property
    def pruned(self) -> dict[int, float]:
        """The prunings of the last fit, as `{step: sparsity of the pruned variables}`.

        Prunings that were undone are not included, for example when `EarlyStopping` restored
        earlier weights.
        """
        return {} if self._session is None else self._session.pruned

    def plan(
        self,
        model: keras.Model,
        steps: int | None = None,
        steps_per_epoch: int | None = None,
        print_fn: Callable[[str], object] | None = None,
    ) -> Plan:
        """Prints what a fit would prune, to which sparsity and when, without changing the model.

        Args:
            model: a built Keras model.
            steps: the number of optimizer steps of the run.
            steps_per_epoch: the number of optimizer steps per epoch, for schedules in epochs.
            print_fn: a function that is called once with the table as plain text. Default: the
                table is printed in colour.

        Returns:
            A `kerasreg.results.Plan`, with the variables that are skipped and the reasons.

        Raises:
            ValueError: as `fit` would, for example if nothing would ever be pruned, or if `steps`
                is needed and was not passed.

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
        self._files = BestFiles(run_after(self, lambda each: not prunes_weights(each)))
        self._has_ended, self._outcome = False, None
        self.enter(self._make_session)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._files.look(self._session.zeros)
        done = epoch * self._run.steps_per_epoch if self._run.steps_per_epoch else 0
        if not self.start_once(self._run, int(done)):
            self._session.follow()
        self._done = self._session.done()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        # An upper bound: `batch` may be past the last batch, and updates may be skipped. Reading
        # the exact count waits for the device, so it is read only when a pruning may be due.
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
            self._end()
            # Later callbacks may set other weights, as `EarlyStopping` does.
            if put_off(self, until=lambda each: True):
                return
        if self._outcome is not None:
            self._tell()

    def begin_shrinking(self, model: keras.Model) -> None:
        self._strategy.begin_shrinking(model, "Pruning")

    def enter_model(self) -> None:
        pruned = self._session.pruned
        super().enter_model()
        self._session.pruned = pruned

    def set_restored_model(self) -> None:
        if not self._has_ended:
            self._end()
        self._session.look_at(self.model)

    def end_shrinking(self) -> None:
        self._strategy.end_shrinking()

    def _end(self):
        self._has_ended = True
        # A fit without epochs (one that resumes after its last epoch) has not started.
        if self._is_started:
            with ending(self, "prune"):
                self._files.look(self._session.zeros)
                self._session.finish()
            self._outcome = self._session.outcome()
        self.leave()

    def _make_session(self, scope):
        self._run = Run.of_fit(self.params, self.model.optimizer)
        self._strategy.plan(self.model, self._run, "Pruning")
        return PruningSession(self.model, self.model.optimizer, self._strategy, "Pruning", scope)

    def _tell(self):
        """Warns of missing zeros, after all other callbacks have set weights."""
        self.sparsity = self._session.zeros()
        self._session.forget_above(self.sparsity)
        outcome, per_epoch = self._outcome, self._run.steps_per_epoch
        epoch = "N" if not per_epoch else math.ceil(outcome.step / per_epoch)
        outcome.warn(self.sparsity, *remedies_of_fit(epoch))
        self._files.warn("Pruning", min(self.sparsity, outcome.held), epoch)
