"""Switch a model and its optimizer to pruning, and back."""

import contextlib
import math
import warnings

import keras
import numpy as np
from keras import ops

from kerasreg.pruning.masks import HoldUpdate, RecordUpdate, clear
from kerasreg.pruning.plan import Plan, planned
from kerasreg.pruning.regrow import Regrow
from kerasreg.pruning.rule import Rule
from kerasreg.pruning.schedules import Hold, Run, standardize_schedule
from kerasreg.pruning.units import variables_of
from kerasreg.train_step import UpdateHook, finished_updates, forget_traces
from kerasreg.variables import host_view

_ORIGIN = "pruning_origin"


class Strategy:
    """Everything that is decided before there is a model: which weights go, and when."""

    def __init__(
        self, schedule, pattern, score, scope, include, exclude, hold, regrow, regrow_share
    ):
        self.rule = Rule(pattern, score, scope, include, exclude)
        if schedule is None and self.rule.pattern.final is not None:
            schedule = self.rule.pattern.final
        self.schedule = standardize_schedule(schedule)
        self.hold = bool(hold)
        self.regrow = None
        if regrow is not None:
            self.regrow = Regrow(regrow, regrow_share, self.rule.pattern, self.hold)
        if self.only_holds:
            if not self.hold:
                raise ValueError("The schedule `Hold()` with `hold=False` does nothing.")
        else:
            self.rule.check_sparsity(self.schedule.final)

    @property
    def only_holds(self):
        """Whether nothing new is pruned."""
        return isinstance(self.schedule, Hold)

    def plan(self, model, run, caller):
        """The `Plan` of a run.

        Raises:
            ValueError: where nothing would ever be pruned, or sparsity falls.
        """
        targets, skipped = self.rule.find(model, caller)
        if self.only_holds:
            alive = {id(v): host_view(v) != 0 for v in variables_of(targets)}
            rows = planned(targets, [None] * len(targets), alive)
            return Plan(model.name, rows, skipped, [], [], 0.0, self.rule.pattern.note)
        timeline = self.schedule.timeline(run)
        steps = timeline.due(math.inf if run.steps is None else run.steps)
        self._require_steps(steps, timeline, run, caller)
        sparsities = [timeline.sparsity(step) for step in steps]
        self._require_rise(steps, sparsities)
        counts = [None] * len(targets)
        if self.rule.scope.name != "global":
            counts = self.rule.counts(targets, None, sparsities[-1], self.schedule.final)
        rows = planned(targets, counts)
        final, note = sparsities[-1], self.rule.pattern.note
        return Plan(model.name, rows, skipped, steps, sparsities, final, note)

    def _require_steps(self, steps, timeline, run, caller):
        if not steps or max(map(timeline.sparsity, steps)) == 0:
            raise ValueError(
                f"`{caller}` would never prune anything: the schedule does after {timeline.begin} "
                f"to {timeline.end} steps, every {timeline.frequency}, and the run has {run.steps} "
                "steps of the optimizer. Lower `begin_step`, `end_step` or `frequency`, or train "
                "longer."
            )
        final = self.schedule.final
        if final is not None and timeline.sparsity(steps[-1]) < final - 1e-9:
            warnings.warn(
                f"`{caller}` will not reach {final:.1%} zeros: the schedule ends after "
                f"{timeline.end} steps with that, and the run has {run.steps}, which is enough for "
                f"{timeline.sparsity(steps[-1]):.1%}. Lower `end_step`, or train longer.",
                UserWarning,
                stacklevel=4,
            )

    def _require_rise(self, steps, sparsities):
        for step, before, after in zip(steps[1:], sparsities, sparsities[1:], strict=False):
            if after < before - 1e-9 and self.hold:
                raise ValueError(
                    f"The schedule falls from {before} to {after} in step {step}, and with "
                    "`hold=True` what is pruned stays zero. Pass a rising one, or `hold=False`."
                )


class PruningTraining:
    """The masks of one model in the train step of one optimizer, and when they change.

    Args:
        model: a built Keras model.
        optimizer: its optimizer.
        strategy: a `Strategy`.
        caller: who asks, for error messages.
        active: whether the running code is a train step that this is about.
    """

    def __init__(self, model, optimizer, strategy, caller, active=lambda: True):
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise ValueError(
                f"`{caller}` needs a Keras optimizer. Received: {optimizer!r}. Compile the model "
                "with one, or pass it."
            )
        self._model, self._strategy, self._caller = model, strategy, caller
        self._rule = strategy.rule
        self.targets, self.skipped = self._rule.find(model, caller)
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        self._hook = UpdateHook.of(optimizer)
        try:
            # A layer that was unfrozen after `compile` is unknown to the optimizer.
            self._hook.require_known(self.variables)
        except ValueError:
            self._hook.release()
            raise
        self._masks = HoldUpdate(self.variables, active)
        self._records, self._gradients = None, None
        self._updates = [self._masks] if strategy.hold else []
        if self._rule.score.records:
            self._records = RecordUpdate(self.variables, active, "score", self._rule.score.record)
            self._updates.append(self._records)
        if strategy.regrow is not None and strategy.regrow.by == "gradient":
            self._gradients = RecordUpdate(
                self.variables, active, "gradient", lambda record, weights, gradient: gradient
            )
            self._updates.append(self._gradients)
        self._timeline, self._last = None, None
        #: `{step: sparsity of the pruned variables}`, one per pruning.
        self.pruned = {}

    @property
    def variables(self):
        """The variables that are pruned."""
        return variables_of(self.targets)

    @property
    def is_in_step(self):
        """Whether a train step was traced or run with what this keeps in it."""
        return not self._updates or self._updates[0].calls > 0

    def on(self):
        self._on = True
        for update in self._updates:
            self._hook.add(update)
        owner, _ = self._hook.part_of(self.variables[0])
        if self._updates:
            self._origin = self._hook.state.add(owner, _ORIGIN, (), -1, "int32")

    def start(self, run, done=0):
        """Begin, when weights and optimizer are those that training begins with.

        Args:
            run: the `Run`.
            done: steps that are over, if this goes on with a run and no checkpoint of it says.
        """
        updates, restored = self._updates_done(), self._restored()
        self._first = restored if restored is not None else updates - done
        if self._updates:
            self._origin.assign(self._first)
        if self._strategy.only_holds:
            self._hold_zeros()
            return
        self._timeline = self._strategy.schedule.timeline(run)
        self._last = self._timeline.last_due(self.done()) if restored is not None else None
        if restored is None and done and self._strategy.hold:
            self._hold_zeros()
        self._require_records()
        self._rule.score.prepare(self._model, self.variables)
        self.step()

    def done(self):
        """Steps of the optimizer since the start of the run."""
        return self._updates_done() - self._first

    @property
    def next_due(self):
        """The next step in which weights are pruned, or infinity."""
        if self._timeline is None:
            return math.inf
        due = self._timeline.next_due(-1 if self._last is None else self._last)
        return math.inf if due is None else due

    def step(self):
        """Prune if it is time to; returns whether it was."""
        if not self._on:
            raise RuntimeError(
                f"`{self._caller}` was switched off in the middle, because something called `fit` "
                "or `train_on_batch` of the same model meanwhile. Train another model there, or "
                "after this fit."
            )
        due = None if self._timeline is None else self._timeline.last_due(self.done())
        if due is None or due == self._last:
            return False
        before, self._last = self._last, due
        sparsity = self._timeline.sparsity(due)
        # What stays zero would be chosen again.
        is_same = before is not None and sparsity == self._timeline.sparsity(before)
        if self._strategy.hold and self._strategy.regrow is None and is_same:
            return False
        if sparsity == 0:
            return False
        self.prune(sparsity, due)
        return True

    def prune(self, sparsity, step):
        """Prune to this sparsity now."""
        alive = None
        if self._strategy.hold:
            alive = {id(variable): self._masks.alive(variable) for variable in self.variables}
        records = self._read(self._records)
        scores = self._rule.scores(self.targets, alive, records)
        final = self._strategy.schedule.final
        counts = self._rule.counts(self.targets, scores, sparsity, final)
        chosen = self._rule.choose(self.targets, scores, counts)
        share = 0.0
        if self._strategy.regrow is not None:
            share = self._strategy.regrow.share(step, self._timeline)
        if share:
            chosen = self._regrown(scores, chosen, share, step)
        for variable in self.variables:
            mask = chosen[id(variable)]
            if alive is None:
                clear(self._hook, variable, mask)
            elif not np.array_equal(mask, alive[id(variable)]):
                self._masks.assign(variable, mask)
        zeros = sum(target.zeros(chosen) for target in self.targets)
        self.pruned[step] = zeros / sum(target.weights for target in self.targets)

    def require_steps(self):
        """Raise if the optimizer went on without masks, or nobody pruned."""
        done = self.done()
        if done and not self.is_in_step:
            raise RuntimeError(
                f"`{self._caller}` was on, and the optimizer made steps, but none with a mask: the "
                "weights were trained without it. The train step was compiled before, or it uses "
                "another optimizer. Trace it inside of the context, and pass the optimizer that "
                "it applies."
            )
        due = None if self._timeline is None else self._timeline.last_due(done)
        if due is not None and due != self._last:
            raise RuntimeError(
                f"`{self._caller}` should have pruned after {due} steps and was not asked to. Call "
                "`step()` after every step of the optimizer."
            )

    def enforce(self):
        """Set what is held to zero, after someone may have set other weights."""
        if self._on and self._strategy.hold:
            self._masks.reset()

    def finish(self):
        """Make the last zeros exact."""
        self.enforce()
        if not self._on or self._strategy.hold:
            return
        if self._last is not None:
            self.prune(self._timeline.sparsity(self._last), self._last)

    def off(self):
        self._on = False
        for update in self._updates:
            self._hook.remove(update)
        self._hook.release()

    def _regrown(self, scores, alive, share, step):
        gradients = self._read(self._gradients) or {}
        replace, regrown = self._strategy.regrow.replace, {}
        for target, score in zip(self.targets, scores, strict=True):
            key = id(target.variable)
            regrown[key] = replace(target, score, alive[key], gradients.get(key), share, step)
        return regrown

    def _read(self, records):
        return records and {id(variable): records.read(variable) for variable in self.variables}

    def _hold_zeros(self):
        if self._masks.was_restored():
            return
        for variable in self.variables:
            self._masks.assign(variable, host_view(variable) != 0)

    def _require_records(self):
        begins = self._timeline.last_due(self.done()) is not None and self._last is None
        if self._records is not None and begins and self._timeline.sparsity(self.done()) > 0:
            raise ValueError(
                f"{type(self._rule.score).__name__} needs steps of training before the first "
                "pruning. Raise `begin_step`, or use `kerasreg.scores.SNIP(x, y)`."
            )

    def _restored(self):
        value = self._hook.state.restored.get(_ORIGIN)
        return None if value is None else int(value)

    def _updates_done(self):
        return int(ops.convert_to_numpy(finished_updates(self._hook.optimizer)))


class PruningLoop:
    """What `kerasreg.pruning` gives: call `step()` after every step of the optimizer."""

    def __init__(self, training):
        self._training = training

    def step(self):
        """Prune if it is time to, and return whether it was."""
        return self._training.step()

    @property
    def pruned(self) -> dict[int, float]:
        """`{step: sparsity}` of every pruning, over the weights that are pruned."""
        return self._training.pruned


@contextlib.contextmanager
def pruning(
    model,
    optimizer,
    schedule,
    pattern="unstructured",
    score="magnitude",
    scope="layer",
    include=None,
    exclude=None,
    hold=True,
    regrow=None,
    regrow_share=0.3,
    *,
    steps=None,
    steps_per_epoch=None,
):
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
        schedule, pattern, score, scope, include, exclude, hold, regrow, regrow_share: see
            `kerasreg.callbacks.Pruning`.
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
        schedule, pattern, score, scope, include, exclude, hold, regrow, regrow_share
    )
    run = Run(steps, steps_per_epoch)
    strategy.plan(model, run, "kerasreg.pruning")
    training = PruningTraining(model, optimizer, strategy, "kerasreg.pruning")
    training.on()
    forget_traces(model)
    try:
        training.start(run)
        yield PruningLoop(training)
        training.require_steps()
        training.finish()
    finally:
        training.off()
        forget_traces(model)
