"""Switch a model and its optimizer to pruning, and back."""

import math

import keras
import numpy as np
from keras import ops

from kerasreg._common.warn import warn
from kerasreg._graph.variables import host_view
from kerasreg._pruning.outcome import Outcome
from kerasreg._pruning.units import variables_of
from kerasreg._train_step import UpdateHook, finished_updates
from kerasreg._train_step.masks import HoldUpdate, RecordUpdate, clear, mask_coverage

_ORIGIN = "pruning_origin"


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
        self._rule = strategy.selection
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
        self._masks.alone_as = "a pruning schedule"
        try:
            self._hook.require_alone(self._masks, caller)
        except ValueError:
            self._hook.release()
            raise
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
        update = self._updates[0] if self._updates else None
        self.coverage = mask_coverage(model, optimizer, self.variables, update, caller)
        self._timeline, self._last = None, None
        self._warned = set()
        #: `(step, sparsity)` of the last pruning of the run.
        self._asked = (0, 0.0)
        #: The sparsity that the last pruning was asked for.
        self.target = 0.0
        #: `{id(variable): how many weights its mask holds at zero}` since the last pruning, when
        #: that was, and whether an update since then was looked at.
        self._held, self._held_since, self._was_looked_at = {}, 0, False
        self._was_asked = False
        #: `{step: sparsity of the pruned variables}`, one per pruning.
        self.pruned = {}

    @property
    def variables(self):
        """The variables that are pruned."""
        return variables_of(self.targets)

    def on(self):
        self._on = True
        for update in self._updates:
            self._hook.add(update)
        owner, _ = self._hook.part_of(self.variables[0])
        if self._updates:
            self._origin = self._hook.state.add(owner, _ORIGIN, (), -1, "int32")

    def start(self, run, done=0, remember=False):
        """Begin, when weights and optimizer are those that training begins with.

        Args:
            run: the `Run`.
            done: steps that are over, if this goes on with a run and no checkpoint of it says.
            remember: whether the weights of now count, in a loop of one's own.
        """
        self._start(run, done)
        self.coverage.start(remember)

    def _start(self, run, done):
        updates, restored = self._updates_done(), self._restored()
        self._first = restored if restored is not None else updates - done
        if self._updates:
            self._origin.assign(self._first)
        if self._strategy.only_holds:
            self._hold_zeros()
            return
        self._timeline = self._strategy.schedule.timeline(run)
        steps = self._timeline.due(math.inf if run.steps is None else run.steps)
        if steps:
            self._asked = steps[-1], self._timeline.sparsity(steps[-1])
        self._last = self._timeline.last_due(self.done()) if restored is not None else None
        if self._last is not None:
            self.target = self._timeline.sparsity(self._last)
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

    def look(self):
        """Raise a `RuntimeError` if the last update of a loop was made without what is here."""
        self._was_asked = True
        self.coverage.look_again()
        if self._held and not self._was_looked_at and self.done() > self._held_since:
            self._require_held()
            self._was_looked_at = True

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
        self.target = sparsity
        alive = None
        if self._strategy.hold:
            alive = {id(variable): self._masks.alive(variable) for variable in self.variables}
        records = self._read(self._records)
        scores = self._rule.scores(self.targets, alive, records)
        final = self._strategy.schedule.final
        counts = self._rule.counts(self.targets, scores, sparsity, final)
        chosen = self._rule.choose(self.targets, scores, counts)
        self._warned = self._rule.warn_of_floor(self._caller, sparsity, self._warned)
        fraction = 0.0
        if self._strategy.regrow is not None:
            fraction = self._strategy.regrow.fraction(step, self._timeline)
        if fraction:
            chosen = self._regrown(scores, chosen, fraction, step)
        for variable in self.variables:
            mask = chosen[id(variable)]
            if alive is None:
                clear(self._hook, variable, mask)
            elif not np.array_equal(mask, alive[id(variable)]):
                self._masks.assign(variable, mask)
        self._remember_masks(chosen)
        self.pruned[step] = self._share(chosen)

    def require_all_steps(self):
        """Raise, or warn, at the end of a loop, if updates were made without masks or prunings."""
        self.coverage.look_back(strict=True)
        done, is_stateless = self.done(), keras.backend.backend() == "jax"
        if is_stateless or self._was_asked:
            self.coverage.require_advanced(
                "a loop without a step, or one that does not write its state back."
            )
        if self._held and not self._was_looked_at and done > self._held_since:
            self._require_held()
        elif self._held and self._masks_lost() + self._grown():
            warn(
                f"`{self._caller}`: {self._grown()} weights are not zero on leaving that masks "
                "hold, because something has set them since the last `step()`. They are set to "
                "zero now.",
                RuntimeWarning,
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

    def follow(self):
        """Take over weights that someone has set: what of them is not zero is not pruned.

        So that nothing is trained that has the weights of one moment and the zeros of another. The
        schedule then prunes them as far as it is.
        """
        if not self._on or not self._strategy.hold:
            return
        if self._strategy.only_holds:
            self.enforce()
            return
        if self._masks.follow():
            self._last = None
            self.step()

    def finish(self):
        """Make what is pruned softly zero."""
        if self._on and not self._strategy.hold and self._last is not None:
            self.prune(self._timeline.sparsity(self._last), self._last)

    def held(self):
        """The fraction of the pruned variables that pruning made zero."""
        if self._strategy.hold:
            return self._share({id(v): self._masks.alive(v) for v in self.variables})
        return list(self.pruned.values())[-1] if self.pruned else 0.0

    def zeros(self):
        """The fraction of zeros in the pruned variables as they are."""
        return self._share({id(v): host_view(v) != 0 for v in self.variables})

    def forget_above(self, sparsity):
        """Take what is sparser than this out of `pruned`."""
        pruned = {step: share for step, share in self.pruned.items() if share <= sparsity + 1e-9}
        self.pruned = pruned

    def outcome(self):
        """The `Outcome` of a run that is over."""
        last = 0.0 if self._last is None else self._timeline.sparsity(self._last)
        return Outcome(self._caller, *self._asked, self.done(), last, self.held())

    def keep(self, name, array):
        """Save an array with every checkpoint of this fit, until another of this name comes."""
        self._hook.state.arrays[name] = array

    def kept(self, name):
        """What a checkpoint of this fit brought under this name, or None."""
        return self._hook.state.restored.get(name)

    def averages(self):
        """`[(variable, its moving average)]` of an optimizer with `use_ema`."""
        found = []
        for variable in self._model.trainable_variables:
            part, index = self._hook.part_of(variable)
            if part.use_ema:
                found.append((variable, part._model_variables_moving_average[index]))
        return found

    def off(self):
        self._on = False
        for update in self._updates:
            self._hook.remove(update)
        self._hook.release()

    def _share(self, masks):
        """The fraction of zeros under masks that say which weights stay."""
        zeros = sum(target.zeros(masks) for target in self.targets)
        return zeros / sum(target.weights for target in self.targets)

    def _regrown(self, scores, alive, fraction, step):
        gradients = self._read(self._gradients) or {}
        replace, regrown = self._strategy.regrow.replace, {}
        for target, score in zip(self.targets, scores, strict=True):
            key = id(target.variable)
            regrown[key] = replace(target, score, alive[key], gradients.get(key), fraction, step)
        return regrown

    def _read(self, records):
        return records and {id(variable): records.read(variable) for variable in self.variables}

    def _hold_zeros(self):
        if self._masks.was_restored():
            return
        for variable in self.variables:
            self._masks.assign(variable, host_view(variable) != 0)
        self._remember_masks({id(v): self._masks.alive(v) for v in self.variables})

    def _remember_masks(self, alive):
        if self._strategy.hold:
            self._held = {key: mask.size - np.count_nonzero(mask) for key, mask in alive.items()}
            self._held_since, self._was_looked_at = self.done(), False

    def _masks_lost(self):
        """How many weights are no longer held that were pruned."""
        zeros = {id(v): np.count_nonzero(~self._masks.alive(v)) for v in self.variables}
        return sum(abs(self._held[key] - zeros[key]) for key in self._held)

    def _grown(self):
        """How many weights are not zero that the masks hold."""
        alive = [(host_view(v), self._masks.alive(v)) for v in self.variables]
        return sum(np.count_nonzero((weights != 0) & ~mask) for weights, mask in alive)

    def _require_held(self):
        lost, grown, held = self._masks_lost(), self._grown(), sum(self._held.values())
        if lost or grown:
            raise RuntimeError(
                f"`{self._caller}` holds {held} weights at zero since step {self._held_since}, "
                f"and after the next update {lost} of them have no mask and {grown} are not zero: "
                "the loop went on with the state from before the pruning. Write the state (weights "
                "and optimizer) back before `step()`, and read it again behind it."
            )

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
