"""Proximal steps in the train step of one optimizer."""

import keras

from kerasreg._common.warn import warn
from kerasreg._proximal.prox_update import ProxUpdate
from kerasreg._proximal.proximal_variables import proximal_variables
from kerasreg._train_step import Coverage, TrainedPenalty, UpdateSession, other_optimizers


class ProximalSession(UpdateSession):
    """Adds the proximal operator of every `ProximalVariable` to the train step of one optimizer.

    The arguments are those of `Session`.
    """

    @property
    def variables(self):
        """The variables that get a proximal step."""
        return [target.variable for target in self._targets]

    def start(self, remember=False):
        """Starts the session, when weights and optimizer have their values at the start."""
        self._update.settle()
        super().start(remember)

    def require_all_steps(self):
        """Raises or warns at the end of a loop if steps of the optimizer had no proximal step."""
        self.require_entered()
        self.coverage.look_back(strict=True)
        # On other backends, an optimizer without steps did not train.
        if keras.backend.backend() != "jax" or self.coverage.advanced:
            return
        if not self._update.calls:
            self.coverage.require_advanced(
                "a loop without a step, a train step that was compiled before the context (with "
                "the optimizer's variables of that time), or a loop that does not write its state "
                "back."
            )
        warn(
            f"`{self._caller}`: the variables of the optimizer show no update, so that it cannot "
            "be checked whether every update had a proximal step. Write the state (weights and "
            "optimizer) back before the context ends."
        )

    @property
    def _update(self):
        return self._updates[0]

    def _find(self):
        self._targets = proximal_variables(self._model, self._caller)

    def _make_updates(self):
        return [ProxUpdate(self._targets, self._hook, self._active)]

    def _make_coverage(self):
        return Coverage(
            *(self._optimizer, self.variables, self._update, self._caller, "a proximal step"),
            "the penalties make no weight exactly zero",
            f"{other_optimizers(self._model)}Use one context for each optimizer and the part of "
            "the model that it trains: `with kerasreg.proximal(part, its_optimizer):`",
        )

    def _switch_on(self):
        self._add_penalties()
        super()._switch_on()

    def _switch_off(self):
        super()._switch_off()
        self._remove_penalties()

    def _add_penalties(self):
        penalised = [each.variable for each in self._targets if each.penalty is not None]
        own = [TrainedPenalty.of(variable, self._active).has_gradient for variable in penalised]
        # An outer context, for another optimizer, may have removed the gradient already.
        self._silenced = [variable for variable, it in zip(penalised, own, strict=True) if it]
        for variable in self._silenced:
            variable.regularizer.has_gradient = False

    def _remove_penalties(self):
        for variable in self._silenced:
            if isinstance(variable.regularizer, TrainedPenalty):
                variable.regularizer.has_gradient = True
                TrainedPenalty.release(variable)
