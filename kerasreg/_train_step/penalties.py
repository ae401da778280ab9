"""The penalty of a variable during training: without a gradient, or scaled."""

import keras
from keras import ops


class TrainedPenalty(keras.regularizers.Regularizer):
    """A regularizer that changes its value or gradient inside a train step only.

    Use `TrainedPenalty.of(variable, active)`. Several callbacks may share one object. `release`
    restores the variable after all of them have undone their changes.
    """

    def __init__(self, regularizer, active):
        self.regularizer = regularizer
        self.active = active
        #: Whether the penalty contributes to the gradient of the loss.
        self.has_gradient = True
        #: A function without arguments that returns a scalar factor, or None.
        self.scale = None

    @classmethod
    def of(cls, variable, active):
        if not isinstance(variable.regularizer, cls):
            variable.regularizer = cls(variable.regularizer, active)
        return variable.regularizer

    @classmethod
    def release(cls, variable):
        """Restores the variable's own regularizer if all changes were undone."""
        own = variable.regularizer
        if isinstance(own, cls) and own.has_gradient and own.scale is None:
            variable.regularizer = own.regularizer

    def __call__(self, weights):
        penalty = self.regularizer(weights)
        if not self.active():
            return penalty
        if not self.has_gradient:
            penalty = ops.stop_gradient(penalty)
        return penalty if self.scale is None else self.scale() * penalty


def plain(regularizer):
    """Returns the regularizer without the changes for training."""
    return regularizer.regularizer if isinstance(regularizer, TrainedPenalty) else regularizer
