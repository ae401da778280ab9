"""Which variables of a model get a prox, and which one."""

from dataclasses import dataclass

import keras
from keras import ops

from kerasreg._attach.unused import on_unused_regularizers
from kerasreg._common.texts import listed
from kerasreg._common.warn import noted
from kerasreg._proximal.step_sizes import float32, within_reach
from kerasreg._train_step import plain
from kerasreg.constraints import Projection
from kerasreg.regularizers.base import Regularizer
from kerasreg.regularizers.keras_own import with_prox


@dataclass(frozen=True)
class ProximalVariable:
    """A variable with a penalty that has a prox, a constraint of ours, or both."""

    variable: keras.Variable
    penalty: Regularizer | None
    constraint: Projection | None

    @property
    def takes_one_step_per_weight(self):
        """Whether the prox is exact for any steps of an optimizer."""
        shape = tuple(self.variable.shape)
        return self.penalty is None or self.penalty.step_shape(shape) == shape

    def prox(self, old, new, step, scale, bound=None):
        """The weights after the optimizer's step from `old` to `new`, with `scale * penalty`.

        `scale * penalty` with a step is the penalty with `scale * step`. `old` may be None where
        one step per weight is taken and there is no `bound`, see `within_reach`. A projection has
        none: its weights are feasible after each step.
        """
        if self.penalty is not None:
            if old is not None:
                new, step = self._with_common_step(old, new, step)
            proxed = self.penalty.prox(new, step if scale is None else scale * step)
            new = proxed if bound is None else within_reach(old, new, proxed, bound)
        return new if self.constraint is None else self.constraint.project(new, step)

    def prox_of_signs(self, old, gradient, step, scale, bound):
        """As `prox`, in place of the optimizer's step; see `sign_steps.py`."""
        old = float32(old)
        new, common = self._with_common_step(old, old - step * gradient, step)
        proxed = self.penalty.prox(new, common if scale is None else scale * common)
        new = within_reach(old, old, proxed, float32(bound))
        return new if self.constraint is None else self.constraint.project(new, step)

    def _with_common_step(self, old, new, step):
        """`(new, step)` as if the optimizer had made steps which the prox can take.

        `(old - new) / step` is the gradient that the optimizer follows. Going the same way with
        steps that are equal keeps the optimum where it is; a prox with another step than that of
        the weights would not.
        """
        shape = tuple(self.variable.shape)
        common = self.penalty.common_step(step, shape)
        if common is step:
            return new, step
        moves = ops.cast(old, "float32") - ops.cast(new, "float32")
        # Where the step is zero or infinite, so is the move or the gradient.
        ratio = ops.where(step > 0, self.penalty.expand_step(common, shape) / step, 0.0)
        return ops.cast(old, "float32") - ops.where(moves == 0, 0.0, ratio * moves), common


def proximal_variables(model, caller):
    """The variables of a model that get a prox.

    Raises:
        ValueError: if there is none, or a penalty does not fit its variable.
    """
    found = []
    for variable in model.trainable_variables:
        penalty = with_prox(plain(variable.regularizer))
        constraint = variable.constraint if isinstance(variable.constraint, Projection) else None
        for each in (penalty, constraint):
            if each is not None:
                each.check(variable.shape, variable.path)
        if penalty is not None or constraint is not None:
            found.append(ProximalVariable(variable, penalty, constraint))
    if not found:
        unused = None
        with noted("The search for regularizers that do nothing"):
            unused = on_unused_regularizers(model)
        others = [v.path for v in model.trainable_variables if v.regularizer is not None]
        raise ValueError(
            f"`{caller}` found no trainable variable with a regularizer that has a prox in "
            f"'{model.name}'. Expected one of `kerasreg.regularizers` with a prox, or Keras' L1, "
            "L2, L1L2 (or a constraint of `kerasreg.constraints`); received "
            + (
                f"regularizers with a gradient only on {listed(others)}, which train without "
                f"`{caller}`."
                if others
                else "no regularizer at all. Pass `kernel_regularizer=` to the layers, or use "
                "`kerasreg.attach(model, rules)`."
            )
            + (f" {unused}" if unused else "")
        )
    return found
