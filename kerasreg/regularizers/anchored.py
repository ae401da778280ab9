"""Penalties of the distance to reference weights: L1-SP and L2-SP."""

import functools

import keras
import numpy as np
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg._common.types import Tensor
from kerasreg.regularizers.arrays import PackedArray, array_argument, encode, unpacked
from kerasreg.regularizers.base import Regularizer, absolute


class Anchored(Regularizer):
    """A penalty with an array of the weights' shape, which `attach` takes from the variable.

    A subclass returns its constructor arguments from `_arguments()` and names the one that `attach`
    fills in `_argument`. `_array` is the array in NumPy, so that it is a constant in traced code.
    """

    is_fusible = False

    _argument = "reference"

    @functools.cached_property
    def _array(self):
        """The array. A packed one is unpacked on first use, when its shape has been checked."""
        return unpacked(self._given())

    def _given(self):
        return self._arguments()[self._argument]

    def check(self, shape, name="weights"):
        argument, shape, given = self._argument, tuple(shape), self._given()
        if given is None:
            raise ValueError(
                f"`{type(self).__name__}` has no `{argument}` for {name} of shape {shape}. Pass "
                f"`{argument}=`, an array of this shape, or use `kerasreg.attach(model, rules)` on "
                "the built model, which takes the current values of each variable. Received: "
                f"{argument}=None"
            )
        if given.shape != shape:
            raise ValueError(
                f"`{argument}` must have the shape of {name}, {shape}. Received: {argument} of "
                f"shape {given.shape}"
            )

    def for_variable(self, variable, roles):
        if self._given() is None:
            arguments = {**self._arguments(), self._argument: variable}
            return type(self)(**arguments).for_variable(variable, roles)
        return super().for_variable(variable, roles)

    def for_part(self, moved, cut):
        if self._given() is None:
            return self
        arguments = self._arguments()
        return type(self)(**{**arguments, self._argument: moved(unpacked(self._given()))})

    def _constant(self, weights):
        dtype = keras.backend.standardize_dtype(weights.dtype)
        return ops.convert_to_tensor(self._array.astype(dtype))

    def get_config(self):
        return {
            name: encode(value) if isinstance(value, (np.ndarray, PackedArray)) else value
            for name, value in self._arguments().items()
        }

    def __repr__(self):
        arguments = ", ".join(f"{name}={_text(value)}" for name, value in self._arguments().items())
        return f"{type(self).__name__}({arguments})"


@keras.saving.register_keras_serializable("kerasreg")
class L2SP(Anchored):
    """`l2 * sum((w - reference)^2)`: keeps weights near reference weights (Li et al., 2018).

    For fine-tuning, with the pretrained weights as the reference: `kerasreg.attach` takes the
    current weights of the model. With a reference of zeros, it equals `L2`. The proximal operator
    is the weighted mean `(w + 2 * l2 * step * reference) / (1 + 2 * l2 * step)`.

    Args:
        l2: finite float >= 0, the regularization factor.
        reference: finite array of the shape of the weights. None if `kerasreg.attach` is to take
            the weights of the model.

    Raises:
        ValueError: if an argument is invalid, or, when the regularizer is applied, if the reference
            is missing or has another shape than the weights.

    Example:

    >>> regularizer = kerasreg.regularizers.L2SP(0.5, reference=np.array([1.0, 2.0]))
    >>> float(regularizer(np.array([3.0, 2.0])))
    2.0
    >>> np.asarray(regularizer.prox(np.array([3.0, 2.0]), step=1.0)).tolist()
    [2.0, 2.0]
    >>> inputs = keras.Input((3,))
    >>> model = keras.Model(inputs, keras.layers.Dense(2, name="hidden")(inputs))
    >>> kerasreg.attach(model, {"hidden/kernel": kerasreg.regularizers.L2SP(0.5)})
    {'hidden/kernel': L2SP(l2=0.5, reference=<float32 array of shape (3, 2)>)}
    """

    def __init__(self, l2: float = 0.01, reference: Tensor = None):
        self.l2 = validation.number(l2, "l2", at_least=0)
        self._reference = array_argument(reference, "reference")

    def _value(self, weights):
        return self.l2 * ops.sum(ops.square(weights - self._constant(weights)))

    def _prox(self, weights, step):
        if not self.l2:
            return weights
        return operators.shrink_towards(weights, self.l2 * step, self._constant(weights))

    def _arguments(self):
        return {"l2": self.l2, "reference": self._reference}


@keras.saving.register_keras_serializable("kerasreg")
class L1SP(Anchored):
    """`l1 * sum(|w - reference|)`: keeps most weights at reference weights (Li et al., 2018).

    For fine-tuning that changes few weights: with `ProximalGradient`, all others remain bitwise
    equal to the reference. `kerasreg.attach` takes the current weights of the model as the
    reference. With a reference of zeros, it equals `L1`. The proximal operator is soft thresholding
    of the difference, `reference + sign(w - reference) max(|w - reference| - l1 * step, 0)`.

    Args:
        l1: finite float >= 0, the regularization factor.
        reference: finite array of the shape of the weights. None if `kerasreg.attach` is to take
            the weights of the model.

    Raises:
        ValueError: if an argument is invalid, or, when the regularizer is applied, if the reference
            is missing or has another shape than the weights.

    Example:

    >>> regularizer = kerasreg.regularizers.L1SP(0.5, reference=np.array([1.0, 2.0]))
    >>> float(regularizer(np.array([3.0, 2.25])))
    1.125
    >>> np.asarray(regularizer.prox(np.array([3.0, 2.25]), step=1.0)).tolist()
    [2.5, 2.0]
    """

    def __init__(self, l1: float = 0.01, reference: Tensor = None):
        self.l1 = validation.number(l1, "l1", at_least=0)
        self._reference = array_argument(reference, "reference")

    def _value(self, weights):
        return self.l1 * ops.sum(absolute(weights - self._constant(weights)))

    def _prox(self, weights, step):
        if not self.l1:
            return weights
        return operators.soft_threshold_towards(weights, self.l1 * step, self._constant(weights))

    def _arguments(self):
        return {"l1": self.l1, "reference": self._reference}


def _text(value):
    if isinstance(value, (np.ndarray, PackedArray)):
        return f"<{value.dtype} array of shape {value.shape}>"
    return repr(value)
