"""How much each weight matters. What has the lowest score is pruned first."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasreg._common import validation
from kerasreg._common.types import Tensor
from kerasreg._pruning.calibration import input_norms, loss_gradients


class Score:
    """How much each weight matters: the base class of all scores.

    A score of your own is a function `(variable, weights) -> array` of the shape of the weights,
    which are a NumPy array of at least float32; or a subclass, if it needs data or gradients.

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    >>> def distance(variable, weights):
    ...     return np.abs(weights - weights.mean())
    >>> kerasreg.prune(model, 0.5, score=distance).sparsity
    0.5
    """

    #: Whether `record` is called in every train step.
    records = False

    def prepare(self, model: keras.Model, variables: Sequence[keras.Variable]) -> None:
        """Called once, when training starts (or at once in `kerasreg.prune`)."""

    def record(self, record: Tensor, weights: np.ndarray, gradient: Tensor) -> Tensor:
        """The new record after a step: tensors of the shape of the weights, in `keras.ops`.

        It begins with zeros. `weights` are those before the step, `gradient` is that of the loss.
        """
        raise NotImplementedError

    def __call__(
        self, variable: keras.Variable, weights: np.ndarray, record: np.ndarray | None = None
    ) -> np.ndarray:
        """The scores of one variable, an array of the shape of `weights`.

        `record` is what `record` returned last, or None where nothing is trained.
        """
        raise NotImplementedError


class Magnitude(Score):
    """`|w|`.

    Example:

    >>> score = kerasreg.scores.Magnitude()
    >>> score(None, np.array([3.0, -4.0]))
    array([3., 4.])
    """

    def __call__(
        self, variable: keras.Variable, weights: np.ndarray, record: Tensor = None
    ) -> np.ndarray:
        return np.abs(weights)


class Random(Score):
    """A random number per weight: the control that any other score must beat.

    Args:
        seed: an int. Each variable of a model has numbers of its own, the same in every call and
            for every model that is built like it.

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    >>> plan = kerasreg.prune(model, 0.5, score=kerasreg.scores.Random(seed=1))
    >>> plan.sparsity
    0.5
    """

    def __init__(self, seed: int = 0):
        self.seed = validation.integer(seed, "seed", at_least=0)

    def prepare(self, model: keras.Model, variables: Sequence[keras.Variable]) -> None:
        # Paths count how many layers a session has built.
        self._places = {id(variable): place for place, variable in enumerate(model.weights)}

    def __call__(
        self, variable: keras.Variable, weights: np.ndarray, record: Tensor = None
    ) -> np.ndarray:
        rng = np.random.default_rng([self.seed, self._places[id(variable)]])
        return rng.random(weights.shape, "float32")


class Taylor(Score):
    """`mean |gradient * w|` over the last steps: by how much the loss would change without `w`.

    First order in `w`. The mean is a moving one and costs 4 bytes per weight during training.
    Without training, `SNIP(x, y)` is the same on given data.

    Args:
        decay: of the moving mean, from 0.0 (the last step only) to below 1.0.

    Source: Molchanov et al. (2019), "Importance Estimation for Neural Network Pruning".

    Example:

    >>> pruning = kerasreg.callbacks.Pruning(0.5, score=kerasreg.scores.Taylor(decay=0.9))
    """

    records = True

    def __init__(self, decay: float = 0.99):
        self.decay = validation.number(decay, "decay", at_least=0, below=1)

    def record(self, record: Tensor, weights: np.ndarray, gradient: Tensor) -> Tensor:
        return self.decay * record + (1 - self.decay) * ops.abs(weights * gradient)

    def __call__(
        self, variable: keras.Variable, weights: np.ndarray, record: Tensor = None
    ) -> np.ndarray:
        return _recorded(self, record)


class Movement(Score):
    """`-sum gradient * w` over all steps: high for weights that training moves away from zero.

    For fine-tuning, where the magnitudes are still those of the pretrained model. Costs 4 bytes
    per weight during training.

    Source: Sanh et al. (2020), "Movement Pruning".

    Example:

    >>> pruning = kerasreg.callbacks.Pruning(0.5, score=kerasreg.scores.Movement())
    """

    records = True

    def record(self, record: Tensor, weights: np.ndarray, gradient: Tensor) -> Tensor:
        return record - weights * gradient

    def __call__(
        self, variable: keras.Variable, weights: np.ndarray, record: Tensor = None
    ) -> np.ndarray:
        return _recorded(self, record)


class SNIP(Score):
    """`|gradient * w|` on given data, measured once, before anything is pruned.

    For pruning at initialisation in one shot, and, on a trained model, the first-order Taylor
    score. The gradient is that of the loss that the model was compiled with.

    Args:
        x, y: some hundreds of samples, as for `fit`; `x` may be a dataset of batches.
        batch_size: samples per pass.

    Source: Lee et al. (2019), "SNIP: Single-shot Network Pruning based on Connection Sensitivity".

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    >>> x, y = np.ones((4, 8)), np.ones((4, 6))
    >>> model.compile("sgd", "mse")
    >>> kerasreg.prune(model, 0.5, score=kerasreg.scores.SNIP(x, y)).sparsity
    0.5
    """

    def __init__(self, x: Any, y: Any = None, batch_size: int = 128):
        self._data = x, y, _batch_size(batch_size)

    def prepare(self, model: keras.Model, variables: Sequence[keras.Variable]) -> None:
        gradients = loss_gradients(model, variables, *self._data)
        self._scores = {
            id(variable): np.abs(gradient * np.asarray(ops.convert_to_numpy(variable), "float32"))
            for variable, gradient in zip(variables, gradients, strict=True)
        }

    def __call__(
        self, variable: keras.Variable, weights: np.ndarray, record: Tensor = None
    ) -> np.ndarray:
        return self._scores[id(variable)]


class Activation(Score):
    """`|w| * ||x||`, `x` being the input that the weight is multiplied with, over given data.

    A small weight on a strong input matters more than one of the same size on a weak input. Known
    for dense layers, convolutions (where all inputs of a channel count, also those that strides and
    borders skip), `EinsumDense` and the projections of attention. Elsewhere the norm counts as 1,
    which leaves the magnitude.

    Args:
        x: some batches of input, as for `predict`.
        batch_size: samples per pass.

    Source: Sun et al. (2023), "A Simple and Effective Pruning Approach for Large Language Models"
    (Wanda).

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    >>> score = kerasreg.scores.Activation(np.ones((4, 8)))
    >>> kerasreg.prune(model, 0.5, score=score).sparsity
    0.5
    """

    def __init__(self, x: Any, batch_size: int = 128):
        self._data = x, _batch_size(batch_size)

    def prepare(self, model: keras.Model, variables: Sequence[keras.Variable]) -> None:
        self._norms = input_norms(model, variables, *self._data)

    def __call__(
        self, variable: keras.Variable, weights: np.ndarray, record: Tensor = None
    ) -> np.ndarray:
        return np.abs(weights) * self._norms.get(id(variable), 1.0)


class _Custom(Score):
    def __init__(self, function):
        self._function = function

    def __call__(self, variable, weights, record=None):
        scores = ops.convert_to_numpy(self._function(variable, weights))
        # Infinity is no int.
        scores = np.asarray(scores, np.promote_types(np.asarray(scores).dtype, "float32"))
        if scores.shape != weights.shape:
            raise ValueError(
                f"`score` must return an array of the shape of the weights, {weights.shape} for "
                f"'{variable.path}'. Received: shape {scores.shape}"
            )
        return scores


#: What the short names of `score` mean.
NAMES = {"magnitude": Magnitude, "taylor": Taylor, "movement": Movement, "random": Random}


def standardize_score(score):
    """A `Score` from what users may pass: a name, a score or a function."""
    if isinstance(score, Score):
        return score
    if isinstance(score, str) and score in NAMES:
        return NAMES[score]()
    if callable(score) and not isinstance(score, type):
        return _Custom(score)
    expected = (
        f"one of {list(NAMES)}, a score of `kerasreg.scores` (those that need data have no short "
        "name), or a function `(variable, weights) -> array`"
    )
    raise validation.invalid("score", score, expected)


def _batch_size(value):
    return validation.integer(value, "batch_size", at_least=1, none="all in one batch")


def _recorded(score, record):
    if record is None:
        raise ValueError(
            f"{type(score).__name__} records the gradients of a training, and here is none. Use "
            "`kerasreg.callbacks.Pruning` in a fit, or `kerasreg.scores.SNIP(x, y)`, the gradient "
            "times the weights on given data."
        )
    return record
