"""Warnings about ineffective penalties, with their reason and a remedy."""

from functools import partial

from keras import layers, ops

from kerasreg._attach.unused import on_unused_regularizers
from kerasreg._common.texts import listed
from kerasreg._common.warn import noted
from kerasreg._graph.families import LINEAR
from kerasreg._graph.homogeneity import OFFSETS, Scales, factors
from kerasreg._train_step import plain
from kerasreg.regularizers.keras_own import with_prox

_SEARCH = "The search for layers that became zero"
#: Names of the variables by which normalizations multiply.
_GAINS = ("gamma", "scale")
#: A penalty that makes zeros sets weights of this size to zero with this step size.
_SMALL, _LARGE_STEP = 1e-3, 1e8


def advice(model):
    """Returns a text about ineffective penalties of a compiled model, or None without any.

    A check that fails gives a warning, and the other checks run.
    """
    texts = []
    for adviser in ADVISERS:
        with noted("A check of the penalties"):
            texts.append(adviser(model))
    return " ".join(text for text in texts if text) or None


class Deaths:
    """Finds the parts of a model in which all weights became zero, and reports each part once.

    Args:
        parts: list of `(name, function)`. The function has no arguments and returns whether the
            part has non-zero weights.
    """

    def __init__(self, parts):
        self._alive = []
        with noted(_SEARCH):
            self._alive = [part for part in parts if part[1]()]

    @classmethod
    def of_variables(cls, variables):
        """Returns a `Deaths` in which each variable is a part."""
        return cls([(each.path, partial(_has_weights, each)) for each in variables])

    def since_last(self, epoch):
        """Returns a text about the parts that became zero since the last call, or None.

        A failure gives one warning and ends the search.
        """
        parts, self._alive, names = self._alive, [], []
        with noted(_SEARCH):
            have_weights = [has_weights() for _, has_weights in parts]
            found = list(zip(parts, have_weights, strict=True))
            self._alive = [part for part, alive in found if alive]
            names = [name for (name, _), alive in found if not alive]
        if not names:
            return None
        return (
            f"After epoch {epoch + 1} every weight is zero in {listed(names)}: the penalty "
            "outweighs the loss there. An all-zero layer blocks activations and gradients. Lower "
            "the factor of the penalty, or increase it slowly from 0 with `PenaltySchedule`."
        )


def _on_evaded_penalties(model):
    scales = Scales.of(model)
    if scales is None or _has_weight_decay(model):
        return None
    kernels = {layer: factors(layer) for layer in scales.layers if isinstance(layer, LINEAR)}
    # If all kernels have a penalty, the layers balance each other. Only the scale that
    # normalizations remove is then free, as with weight decay.
    if all(each.regularizer is not None for variables in kernels.values() for each in variables):
        return None
    evaded = []
    for layer in scales.layers:
        if isinstance(layer, (*LINEAR, layers.Embedding)) and layer.trainable:
            absorbers, variables = scales.absorbers(layer), factors(layer)
            if absorbers and all(map(_shrinks_to_zero, variables)):
                names = listed(sorted(each.name for each in absorbers))
                evaded.append(f"{_paths(variables)} (by {names})")
    if not evaded:
        return None
    return (
        "These penalties can be evaded without zeros, because later layers without a penalty "
        f"compensate smaller weights: {listed(sorted(evaded))}. If the weights of the layer are c "
        "times smaller and those of the later layer c times larger, or if the later layer "
        "normalizes, the outputs are the same. Give the later layers a penalty too (L2 is enough; "
        "a normalization needs it on gamma), or use a scale-invariant penalty such as "
        "`HoyerSquare`."
    )


def _on_offsets(model):
    penalised = [each for each in model.trainable_variables if _penalty(each) is not None]
    # A penalty on gains, without one on kernels, selects channels (network slimming).
    names = (*OFFSETS, *_GAINS) if any(len(each.shape) > 1 for each in penalised) else OFFSETS
    found = [each for each in penalised if each.name in names and _makes_zeros(each)]
    if not found:
        return None
    return (
        f"A sparsity-inducing penalty is on {_paths(found)}. Biases and the weights of "
        "normalizations are few, so that their zeros save nothing, and shrinking them changes the "
        "outputs of the layers. Penalise only the kernels, for example with "
        '`kerasreg.attach(model, {"kernel": penalty})`.'
    )


#: Functions that take a compiled model and return a text, or None.
ADVISERS = [_on_evaded_penalties, _on_offsets, on_unused_regularizers]


def _penalty(variable):
    return with_prox(plain(variable.regularizer))


def _shrinks_to_zero(variable):
    """Returns whether the penalty makes zeros and decreases when all weights are halved."""
    if _penalty(variable) is None or not _makes_zeros(variable):
        return False
    penalty, weights = _penalty(variable), ops.convert_to_tensor(variable)
    return _any(penalty(0.5 * weights) < penalty(weights))


def _makes_zeros(variable):
    small = ops.full(variable.shape, _SMALL, dtype="float32")
    return _any(ops.equal(_penalty(variable).prox(small, _LARGE_STEP), 0))


def _has_weights(variable):
    return _any(ops.not_equal(ops.convert_to_tensor(variable), 0))


def _any(mask):
    return bool(ops.convert_to_numpy(ops.any(mask)))


def _has_weight_decay(model):
    optimizer = getattr(model, "optimizer", None)
    return bool(getattr(getattr(optimizer, "inner_optimizer", optimizer), "weight_decay", None))


def _paths(variables):
    return listed([variable.path for variable in variables])
