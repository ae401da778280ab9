"""Pruning in the train step of one optimizer."""

import keras
import numpy as np
from keras import ops

from kerasreg._graph.variables import host_view
from kerasreg._pruning.held import HeldZeros
from kerasreg._pruning.outcome import Outcome
from kerasreg._pruning.progress import Progress
from kerasreg._pruning.units import variables_of
from kerasreg._train_step import UpdateSession, finished_updates
from kerasreg._train_step.masks import HoldUpdate, RecordUpdate, clear, mask_coverage

_ORIGIN = "pruning_origin"


class PruningSession(UpdateSession):
    """Applies the masks of a model in the train step of one optimizer, and updates them.

    Args:
        strategy: a `Strategy`.

    The other arguments are those of `Session`.
    """

    def __init__(self, model, optimizer, strategy, caller, scope=None):
        self._strategy, self._selection = strategy, strategy.selection
        self._records, self._gradients = None, None
        self._progress, self._bound = Progress(), set()
        self._was_looked_at = False
        #: The sparsity of the latest pruning according to the schedule.
        self.target = 0.0
        #: `{step: sparsity of the pruned variables}`, one item per pruning.
        self.pruned = {}
        super().__init__(model, optimizer, caller, scope)

    @property
    def variables(self):
        """The variables that are pruned."""
        return variables_of(self.targets)

    def _find(self):
        self.targets, self.skipped = self._selection.find(self._model, self._caller)

    def _make_updates(self):
        self._masks = HoldUpdate(self.variables, self._active)
        self._masks.alone_as = "a pruning schedule"
        # Also without `hold`, although the masks are then not applied.
        self._hook.require_alone(self._masks, self._caller)
        self._held = HeldZeros(self._masks, self.variables, self._caller)
        updates = [self._masks] if self._strategy.hold else []
        if self._selection.score.records:
            self._records = RecordUpdate(
                self.variables, self._active, "score", self._selection.score.record
            )
            updates.append(self._records)
        if self._strategy.regrow is not None and self._strategy.regrow.by == "gradient":
            self._gradients = RecordUpdate(
                self.variables, self._active, "gradient", lambda record, weights, gradient: gradient
            )
            updates.append(self._gradients)
        return updates

    def _make_coverage(self):
        first = next(iter(self._updates), None)
        return mask_coverage(self._model, self._optimizer, self.variables, first, self._caller)

    def _switch_on(self):
        super()._switch_on()
        owner, _ = self._hook.part_of(self.variables[0])
        if self._updates:
            self._origin = self._hook.state.add(owner, _ORIGIN, (), -1, "int32")

    def start(self, run, done=0, remember=False):
        """Starts pruning, once weights and optimizer have their initial state for this run.

        Args:
            run: the `Run`.
            done: the number of steps already done, if resumed without a checkpoint of this session.
            remember: see `Session`.
        """
        self._begin(run, done)
        super().start(remember)

    def _begin(self, run, done):
        updates, restored = self._updates_done(), self._restored()
        self._first = restored if restored is not None else updates - done
        if self._updates:
            self._origin.assign(self._first)
        if self._strategy.only_holds:
            self._hold_zeros()
            return
        timeline = self._strategy.schedule.timeline(run)
        self._progress = Progress(timeline, run, None if restored is None else self.done())
        self.target = self._progress.sparsity
        if restored is None and done and self._strategy.hold:
            self._hold_zeros()
        self._require_records()
        self._selection.score.prepare(self._model, self.variables)
        self.step()

    def done(self):
        """Returns the number of optimizer steps since the start of the run."""
        return self._updates_done() - self._first

    @property
    def next_due(self):
        """The step of the next pruning, or infinity."""
        return self._progress.next_due

    def look(self):
        """Raises a `RuntimeError` if the last update of a loop was made without this session."""
        self._was_looked_at = True
        self.coverage.look_again()
        self._held.check(self.done())

    def step(self):
        """Prunes if the schedule is due. Returns whether weights were pruned."""
        self.require_entered()
        progress = self._progress
        due = progress.due(self.done())
        if due is None:
            return False
        before, is_first = progress.sparsity, progress.last is None
        progress.last, sparsity = due, progress.timeline.sparsity(due)
        # The zeros are kept, so the same weights would be chosen again.
        is_same = self._strategy.hold and self._strategy.regrow is None and sparsity == before
        if sparsity == 0 or (is_same and not is_first):
            return False
        self.prune(sparsity, due)
        return True

    def prune(self, sparsity, step):
        """Prunes to this sparsity."""
        self.target = sparsity
        alive = self._alive() if self._strategy.hold else None
        scores = self._selection.scores(self.targets, alive, self._read(self._records))
        counts = self._selection.counts(self.targets, scores, sparsity, self._strategy.final)
        chosen = self._selection.choose(self.targets, scores, counts)
        self._bound = self._selection.warn_of_floor(self._caller, sparsity, self._bound)
        regrow = self._strategy.regrow
        if regrow is not None and (fraction := regrow.fraction(step, self._progress.timeline)):
            gradients = self._read(self._gradients)
            chosen = regrow.replaced(self.targets, scores, chosen, gradients, fraction, step)
        self._selection.constant_after(self._caller, self.targets, chosen, sparsity)
        for variable in self.variables:
            mask = chosen[id(variable)]
            if alive is None:
                clear(self._hook, variable, mask)
            elif not np.array_equal(mask, alive[id(variable)]):
                self._masks.assign(variable, mask)
        if self._strategy.hold:
            self._held.remember(chosen, self.done())
        self.pruned[step] = self._fraction(chosen)

    def require_all_steps(self):
        """Raises or warns, at the end of a loop, if masks or prunings were missed."""
        self.coverage.look_back(strict=True)
        done, is_stateless = self.done(), keras.backend.backend() == "jax"
        if is_stateless or self._was_looked_at:
            self.coverage.require_advanced(
                "a loop without a step, or one that does not write its state back."
            )
        self._held.check_at_end(done)
        if (due := self._progress.due(done)) is not None:
            raise RuntimeError(
                f"`{self._caller}` should have pruned after {due} steps, but `step()` was not "
                "called. Call `step()` after every step of the optimizer."
            )

    def enforce(self):
        """Sets pruned weights to zero again, after other weights may have been set."""
        if self._is_on and self._strategy.hold:
            self._masks.reset()

    def follow(self):
        """Adapts the masks to weights that were set, and prunes these to the current sparsity.

        The weights of one step are thus never combined with the zeros of another.
        """
        if not self._is_on or not self._strategy.hold:
            return
        if self._strategy.only_holds:
            self.enforce()
        elif self._masks.follow():
            self._progress.last = None
            self.step()

    def finish(self):
        """Repeats the last pruning if weights may have grown since (`hold=False`)."""
        last = self._progress.last
        if self._is_on and not self._strategy.hold and last is not None:
            self.prune(self._progress.sparsity, last)

    def held(self):
        """Returns the fraction of the pruned variables that is zero due to pruning."""
        if self._strategy.hold:
            return self._fraction(self._alive())
        return list(self.pruned.values())[-1] if self.pruned else 0.0

    def zeros(self):
        """Returns the current fraction of zeros in the pruned variables."""
        return self._fraction({id(v): host_view(v) != 0 for v in self.variables})

    def look_at(self, model):
        """Sets the targets of another model of the same run, to report its zeros."""
        self.targets, _ = self._selection.find(model, self._caller)

    def forget_above(self, sparsity):
        """Removes prunings with a higher sparsity than this from `pruned`."""
        most = sparsity + 1e-9
        self.pruned = {step: zeros for step, zeros in self.pruned.items() if zeros <= most}

    def outcome(self):
        """Returns the `Outcome` at the end of a run."""
        progress = self._progress
        return Outcome(self._caller, *progress.asked, self.done(), progress.sparsity, self.held())

    def _alive(self):
        return {id(variable): self._masks.alive(variable) for variable in self.variables}

    def _fraction(self, masks):
        """Returns the fraction of zeros under masks, which are True for weights that remain."""
        zeros = sum(target.zeros(masks) for target in self.targets)
        return zeros / sum(target.weights for target in self.targets)

    def _read(self, records):
        return records and {id(variable): records.read(variable) for variable in self.variables}

    def _hold_zeros(self):
        if not self._masks.was_restored():
            self._masks.hold()
            self._held.remember(self._alive(), self.done())

    def _require_records(self):
        timeline, done = self._progress.timeline, self.done()
        begins = timeline.last_due(done) is not None and self._progress.last is None
        if self._records is not None and begins and timeline.sparsity(done) > 0:
            raise ValueError(
                f"{type(self._selection.score).__name__} needs steps of training before the first "
                "pruning. Raise `begin_step`, or use `kerasreg.scores.SNIP(x, y)`."
            )

    def _restored(self):
        value = self._hook.state.restored.get(_ORIGIN)
        return None if value is None else int(value)

    def _updates_done(self):
        return int(ops.convert_to_numpy(finished_updates(self._hook.optimizer)))
