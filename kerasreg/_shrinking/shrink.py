"""`kerasreg.shrink`: a smaller plain Keras model with the same outputs."""

import keras

from kerasreg._common import validation
from kerasreg._common.types import InputShape
from kerasreg._common.warn import warn
from kerasreg._graph.analyse import analyse
from kerasreg._graph.requirements import require_shrinkable
from kerasreg._shrinking.compare import report_on
from kerasreg._shrinking.costs.flops import input_shapes
from kerasreg._shrinking.dead import Dead, find_dead
from kerasreg._shrinking.rebuild import Rebuild
from kerasreg._shrinking.report import ShrinkReport
from kerasreg._shrinking.verify import verify


def shrink(
    model: keras.Model, round_to: int = 1, input_shape: InputShape = None
) -> tuple[keras.Model, ShrinkReport]:
    """Returns a smaller model with the same outputs, without the units that are dead.

    A unit (neuron, filter, channel, head) is removed in two cases:

    - Its output is unused, because all of its outgoing weights are zero or belong to units that
      are removed.
    - Its output is constant, because its own weights are zero. Its contribution is added to the
      bias of the next layer. If the next layer is a convolution with zero padding, the
      contribution is added to the weights of one constant unit that stays.

    Units that are added, multiplied or normalized together are removed together. The inputs and
    outputs of the model keep their shapes. Layers of unknown classes are not shrunk; the report
    gives the reasons.

    "The same outputs" refers to inference. The small model is compared with the original on random
    inputs before it is returned. The original is not changed.

    Args:
        model: a built Functional or Sequential model. It may contain others.
        round_to: an int. Dead units are kept so that each width larger than `round_to` becomes a
            multiple of it. Multiples of 8 or 16 run faster on many devices. Smaller widths are not
            rounded. Default: 1.
        input_shape: shape of one sample, without the batch axis, for models whose inputs have
            undefined sizes: a tuple, or for several inputs a list or dict of tuples in the
            structure of the inputs. It is used for the FLOPs of the report and for the comparison.
            Default: None, which compares the models in two sizes and leaves the FLOPs unknown.

    Returns:
        `(small, report)`. `small` is a plain Keras model with the names, dtypes, `trainable` flags
        and penalties of the original. It is compiled with the same arguments, with a new optimizer
        state. `report` is a `kerasreg.results.ShrinkReport`.

    Raises:
        ValueError: for a model that is subclassed, not built or quantized, or that has LoRA
            adapters or weights that are not finite, and for an `input_shape` that does not fit.
        RuntimeError: if the outputs of the small model differ; no model is returned then.

    Example:

    >>> layers = [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)]
    >>> model = keras.Sequential(layers)
    >>> plan = kerasreg.prune(model, 0.5, pattern="unit", exclude="dense_1")
    >>> small, report = kerasreg.shrink(model)
    >>> small.layers[0].units, report.parameters_before, report.parameters_after
    (4, 49, 25)
    """
    require_shrinkable(model, "kerasreg.shrink")
    round_to = validation.integer(round_to, "round_to", at_least=1)
    return shrink_and_compile(model, round_to, input_shape, compile_alike)


def shrink_and_compile(model, round_to, input_shape, compile_small):
    """Returns the results of `shrink`, with another way to compile the smaller model.

    Args:
        model, round_to, input_shape: see `shrink`.
        compile_small: function `(model, small, twins)` that compiles `small`. It is called if
            `model` is compiled. `twins` is a list of the items of `Rebuild.twins()`.
    """
    shapes = input_shapes(model, input_shape)
    small, analysis, dead = _reduce(model, round_to, compile_small)

    def in_float64():
        exact = Rebuild(analysis, Dead.nothing(analysis), "float64").model(model)
        return exact, _reduce(exact, round_to, compile_small)[0]

    difference, dtype = verify(model, small, in_float64, shapes)
    return small, report_on(model, small, analysis, dead, difference, dtype, input_shape)


def _reduce(model, round_to, compile_small):
    """Returns `(small, analysis, dead)`; the latter two describe `model`, not `small`."""

    def without_dead(analysis):
        dead = find_dead(analysis, round_to)
        rebuild = Rebuild(analysis, dead)
        return rebuild.model(model), rebuild, analysis, dead

    small, rebuild, analysis, dead = analyse(model, without_dead)
    if model.compiled:
        compile_small(model, small, list(rebuild.twins()))
    if analysis.is_coarse and dead.labels.any():
        # In the smaller model, units may be removable alone that had to be removed together.
        small, *analysis.again = _reduce(small, round_to, compile_small)
    return small, analysis, dead


def compile_alike(model, small, twins=()):
    """Compiles the small model with the arguments of the other one; warns if that fails."""
    try:
        small.compile_from_config(model.get_compile_config())
    except Exception as error:  # A custom object may raise any exception.
        warn(
            f"The returned small model is not compiled, because Keras cannot serialize the "
            f"arguments that '{model.name}' was compiled with ({error}). Call its `compile` "
            "before training or evaluating it."
        )
