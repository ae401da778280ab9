"""From zeros to a smaller plain Keras model with the same outputs."""

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
    """A smaller model with the same outputs: without the units that are dead.

    A unit (neuron, filter, channel) goes if nobody reads it, all weights that would being zero,
    or if its value is the same for every input, because its own weights are zero: then what it
    contributes moves into a bias, or, before a convolution with zero padding, into the weights
    of one other constant unit that stays. Units that are added, multiplied or normalized together
    go together. Inputs and outputs keep their shapes. What this does not know stays, and the
    report says why.

    The outputs are those of inference. The small model is compared with the original on random
    inputs before it is returned. The original is left as it is.

    Args:
        model: a built Functional or Sequential model, nested ones inside of it included.
        round_to: what stays of a width becomes a multiple of this with units that are dead, which
            processors like: 8 or 16. Widths up to it stay whole.
        input_shape: the shape of one sample, where the model leaves it open, for the FLOPs of the
            report and the comparison: a tuple; for several inputs a list or a dict of tuples like
            the inputs. Without it, two sizes are tried.

    Returns:
        `(small, report)`: a plain Keras model with the names, dtypes, `trainable` flags and
        penalties of the original, compiled alike (with a fresh state of the optimizer), and a
        `kerasreg.results.ShrinkReport`.

    Raises:
        ValueError: for a subclassed or unbuilt model, or one with quantized layers or adapters,
            weights that are not finite, or an `input_shape` that does not fit.
        RuntimeError: if the outputs were not the same; no model is returned then.

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
    shapes = input_shapes(model, input_shape)
    small, analysis, dead = _reduce(model, round_to)

    def in_float64():
        exact = Rebuild(analysis, Dead.nothing(analysis), "float64").model(model)
        return exact, _reduce(exact, round_to)[0]

    difference, dtype = verify(model, small, in_float64, shapes)
    if model.compiled:
        compile_alike(model, small)
    return small, report_on(model, small, analysis, dead, difference, dtype, input_shape)


def _reduce(model, round_to):
    """`(small, analysis, dead)`, with what was found out about the model itself."""

    def without_dead(analysis):
        dead = find_dead(analysis, round_to)
        return Rebuild(analysis, dead).model(model), analysis, dead

    small, analysis, dead = analyse(model, without_dead)
    if analysis.is_coarse and dead.labels.any():
        # With fewer groups, what went together before may go alone.
        small, *analysis.again = _reduce(small, round_to)
    return small, analysis, dead


def compile_alike(model, small):
    """Compile the small model as the other one is; warn where Keras cannot."""
    try:
        small.compile_from_config(model.get_compile_config())
    except Exception as error:  # Keras raises whatever a custom object raises.
        warn(
            f"The model that `kerasreg.shrink` returns is not compiled: '{model.name}' was "
            f"compiled with what Keras cannot save ({error}). Compile it."
        )
