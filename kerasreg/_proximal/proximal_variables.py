"""The variables of a model that get a proximal step."""

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
    """A variable with a penalty that has a proximal operator, a projection, or both."""

    variable: keras.Variable
    penalty: Regularizer | None
    constraint: Projection | None

    @property
    def takes_one_step_per_weight(self):
        """Whether the proximal operator supports one step size per weight."""
        shape = tuple(self.variable.shape)
        return self.penalty is None or self.penalty.step_shape(shape) == shape

    def prox(self, old, new, step, scale, bound=None):
        """Returns the weights after the optimizer's step from `old` to `new`.

        The penalty is multiplied by `scale`, which is the same as multiplying `step`. `old` may be
        None if the penalty takes one step per weight and `bound` is None (see `within_reach`).
        The bound does not apply to a projection, so that the weights are always feasible.
        """
        if self.penalty is not None:
            if old is not None:
                new, step = self._with_common_step(old, new, step)
            proxed = self.penalty.prox(new, step if scale is None else scale * step)
            new = proxed if bound is None else within_reach(old, new, proxed, bound)
        return new if self.constraint is None else self.constraint.project(new, step)

    def prox_of_signs(self, old, gradient, step, scale, bound):
        """Returns the weights after a step that replaces the optimizer's. See `sign_steps.py`."""
        old = float32(old)
        new, common = self._with_common_step(old, old - step * gradient, step)
        proxed = self.penalty.prox(new, common if scale is None else scale * common)
        new = within_reach(old, old, proxed, float32(bound))
        return new if self.constraint is None else self.constraint.project(new, step)

    def _with_common_step(self, old, new, step):
        """Returns `(new, step)` of the same gradient with a step size that the prox supports.

        `(old - new) / step` is the gradient that the optimizer follows. Following it with the
        common step size does not change the optimum. A proximal operator with another step size
        than the gradient step would change it.
        """
        shape = tuple(self.variable.shape)
        common = self.penalty.common_step(step, shape)
        if common is step:
            return new, step
        moves = ops.cast(old, "float32") - ops.cast(new, "float32")
        # A step size of zero or infinity must not give 0 * infinity, which is NaN.
        ratio = ops.where(step > 0, self.penalty.expand_step(common, shape) / step, 0.0)
        return ops.cast(old, "float32") - ops.where(moves == 0, 0.0, ratio * moves), common


def proximal_variables(model, caller):
    """Returns the `ProximalVariable`s of a model.

    Raises:
        ValueError: if there are none, or if a penalty does not support its variable.
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
            f"`{caller}` found no trainable variable in '{model.name}' whose regularizer has a "
            "proximal operator. Expected a regularizer of `kerasreg.regularizers` that has one, "
            "Keras' L1, L2 or L1L2, or a constraint of `kerasreg.constraints`. Received: "
            + (
                f"regularizers without a proximal operator on {listed(others)}, which train "
                f"without `{caller}`."
                if others
                else "no regularizer at all. Pass `kernel_regularizer=` to the layers, or use "
                "`kerasreg.attach(model, rules)`."
            )
            + (f" {unused}" if unused else "")
        )
    return found
