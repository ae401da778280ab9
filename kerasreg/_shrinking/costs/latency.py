"""`kerasreg.compare_latency`: the inference time of two models."""

import time
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops, tree

from kerasreg._common import validation
from kerasreg._common.report import Report
from kerasreg._common.sheet import Sheet, left, right
from kerasreg._common.types import InputShape
from kerasreg._graph.requirements import require_graph
from kerasreg._graph.tracing import functional_of
from kerasreg._shrinking.costs.flops import input_shapes
from kerasreg._shrinking.costs.inference import compiled

_COLUMNS = (*left("model"), *right("median", "lower quartile", "upper quartile"))


@dataclass(frozen=True)
class Latency:
    """The time of one inference, in seconds.

    Attributes:
        median: median of all runs.
        low: lower quartile.
        high: upper quartile.
    """

    median: float
    low: float
    high: float

    def __str__(self):
        return f"{1e3 * self.median:.3g} ms ({1e3 * self.low:.3g} to {1e3 * self.high:.3g})"


@dataclass(frozen=True)
class LatencyComparison(Report):
    """The result of `kerasreg.compare_latency`.

    Attributes:
        before: `kerasreg.results.Latency` of the first model.
        after: `kerasreg.results.Latency` of the second model.
        batch_size: number of samples per inference.
    """

    before: Latency
    after: Latency
    batch_size: int

    @property
    def speedup(self) -> float:
        """Median of the first model divided by that of the second one."""
        return self.before.median / self.after.median

    @property
    def line(self) -> str:
        """All results in one line of text."""
        return (
            f"latency at batch size {self.batch_size}: {self.before} -> {self.after}, "
            f"{self.speedup:.3g} times as fast"
        )

    def _sheet(self, width=None):
        runs = {"before": self.before, "after": self.after}
        return Sheet(
            title=f"Latency at batch size {self.batch_size}",
            columns=_COLUMNS,
            rows=[
                (name, *(f"{1e3 * seconds:.3g} ms" for seconds in (run.median, run.low, run.high)))
                for name, run in runs.items()
            ],
            notes=(f"{self.speedup:.3g} times as fast",),
        )


def compare_latency(
    model: keras.Model,
    small: keras.Model,
    batch_size: int = 1,
    input_shape: InputShape = None,
    repeats: int = 50,
    warmup: int = 5,
) -> LatencyComparison:
    """Measures the inference time of two models, alternating between them.

    Because the models run in turns, changes of the load of the machine affect both. Inference is
    compiled as in `predict` (TensorFlow, JAX; torch runs eagerly). Random inputs are in the memory
    of the device before the measurement, which ends when the outputs are on the host. The models
    are not changed.

    Args:
        model: a built Functional or Sequential model.
        small: another one with the same inputs.
        batch_size: number of samples per inference. Default: 1.
        input_shape: shape of one sample, for models whose inputs have undefined sizes: see
            `kerasreg.flops`.
        repeats: number of measured inferences of each model. Default: 50.
        warmup: number of inferences of each model before the measurement; the first one compiles.
            Default: 5.

    Returns:
        A `kerasreg.results.LatencyComparison`.

    Raises:
        ValueError: for an undefined input size, for numbers below 1, and for models that are not
            built or have no graph.

    Example:

    >>> layers = [keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2)]
    >>> model = keras.Sequential(layers)
    >>> small, report = kerasreg.shrink(model)
    >>> result = kerasreg.compare_latency(model, small, batch_size=64)
    >>> result.before.low <= result.before.median <= result.before.high
    True
    """
    for name, value in (("batch_size", batch_size), ("repeats", repeats), ("warmup", warmup)):
        validation.integer(value, name, at_least=1)
    for each in (model, small):
        require_graph(each, "kerasreg.compare_latency")
    seconds = seconds_of([model, small], batch_size, input_shape, repeats, warmup)
    low, median, high = np.percentile(seconds, [25, 50, 75], axis=0).tolist()
    before, after = map(Latency, median, low, high)
    return LatencyComparison(before, after, batch_size)


def seconds_of(models, batch_size=1, input_shape=None, repeats=50, warmup=5):
    """Returns the seconds of every inference, an array of shape `(repeats, models)`."""
    inputs = _random_inputs(models[0], batch_size, input_shape)
    functions = [compiled(each) for each in models]
    seconds = [[_timed(each, inputs) for each in functions] for _ in range(warmup + repeats)]
    return np.array(seconds[warmup:])


def _timed(function, inputs):
    start = time.perf_counter()
    outputs = function(inputs)
    for each in tree.flatten(outputs):
        # Backends may return before the outputs are computed; copying them to the host waits.
        ops.convert_to_numpy(each)
    return time.perf_counter() - start


def _random_inputs(model, batch_size, input_shape):
    rng, arrays = np.random.default_rng(0), []
    functional = functional_of(model)
    for own, shape in zip(functional.inputs, input_shapes(model, input_shape), strict=True):
        if None in shape:
            raise ValueError(
                "`input_shape` must give the input sizes that are undefined in the model. "
                f"Received: input_shape={input_shape!r} for '{own.name}' of shape "
                f"{tuple(own.shape)}"
            )
        shape = (own.shape[0] or batch_size, *shape)
        is_float = keras.backend.is_float_dtype(own.dtype)
        # Ids of 0 and 1 are valid for every embedding.
        numbers = rng.normal(size=shape) if is_float else rng.integers(0, 2, shape)
        arrays.append(ops.convert_to_tensor(numbers, own.dtype))
    return tree.pack_sequence_as(functional._inputs_struct, arrays)
