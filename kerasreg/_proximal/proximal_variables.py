"""The variables of a model that get a proximal step."""

from dataclasses import dataclass

import keras

from kerasreg._attach.unused import on_unused_regularizers
from kerasreg._common.texts import listed
from kerasreg._common.warn import noted
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
