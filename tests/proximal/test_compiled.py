"""Proximal steps that are compiled with XLA inside of a train step that is not."""

import keras
import numpy as np
import pytest
from needs import TENSORFLOW

from kerasreg import constraints, regularizers
from kerasreg._proximal import compiled
from kerasreg._proximal.proximal_step import ProximalStep
from kerasreg.callbacks import PenaltySchedule, ProximalGradient

pytestmark = TENSORFLOW

PENALTIES = {
    "L1": lambda: regularizers.L1(2e-2),
    "L1L2": lambda: regularizers.L1L2(2e-2, 1e-2),
    "GroupLasso": lambda: regularizers.GroupLasso(5e-3),
    "SparseGroupLasso": lambda: regularizers.SparseGroupLasso(1e-2),
    "LInfinity1": lambda: regularizers.LInfinity1(2e-2),
    "GroupMCP": lambda: regularizers.GroupMCP(5e-3),
    "MCP": lambda: regularizers.MCP(2e-2),
    "Lp": lambda: regularizers.Lp(5e-3),
}
OPTIMIZERS = ["SGD", "Adam", "AdamW", "Adamax", "Nadam", "Adagrad", "RMSprop", "Lion", "Lamb"]


@pytest.fixture
def every_size(monkeypatch):
    """Compiles steps of any size; counts those that are traced to be compiled."""
    traces, step = [], ProximalStep.__call__

    def traced(self, *args, **kwargs):
        traces.append(self.is_fusible)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(compiled, "SMALLEST", 1)
    monkeypatch.setattr(ProximalStep, "__call__", traced)
    compiled._with_xla.cache_clear()
    yield lambda: sum(traces)
    compiled._with_xla.cache_clear()


def trained(penalty, optimizer="Adam", callbacks=(), layers=2, compile_arguments=(), **arguments):
    """The kernels after 40 steps on data of which half of the inputs have no influence."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 6)).astype("float32")
    y = np.tanh(x[:, :3] @ rng.normal(size=(3, 6)).astype("float32"))
    hidden = [
        keras.layers.Dense(6, kernel_regularizer=penalty(), activation="tanh", **arguments)
        for _ in range(layers)
    ]
    model = keras.Sequential([keras.Input((6,)), *hidden])
    model.compile(optimizer, "mse", **dict(compile_arguments))
    model.fit(x, y, batch_size=16, epochs=4, verbose=0, callbacks=[ProximalGradient(), *callbacks])
    return np.concatenate([layer.kernel.numpy() for layer in model.layers])


def assert_same(got, expected):
    np.testing.assert_allclose(got, expected, atol=2e-5)
    np.testing.assert_array_equal(got == 0, expected == 0)


@pytest.mark.filterwarnings("ignore:These penalties can be evaded")
@pytest.mark.parametrize("name", PENALTIES)
def test_a_compiled_step_gives_the_same_weights(name, request):
    expected = trained(PENALTIES[name])
    count = request.getfixturevalue("every_size")
    assert_same(trained(PENALTIES[name]), expected)
    assert count() == 1, "Both kernels have one shape and one penalty: they share a function."


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_compiled_step_reads_the_state_of_each_optimizer(optimizer, request):
    penalty = PENALTIES["L1L2"]
    make = getattr(keras.optimizers, optimizer)
    momentum = {"momentum": 0.9} if optimizer in ("SGD", "RMSprop") else {}
    expected = trained(penalty, make(0.01, **momentum))
    count = request.getfixturevalue("every_size")
    assert_same(trained(penalty, make(0.01, **momentum)), expected)
    assert count() == 1


def test_a_compiled_step_follows_the_scale_and_the_learning_rate(request):
    def run():
        rate = keras.optimizers.schedules.CosineDecay(0.01, 40)
        schedule = PenaltySchedule(warmup_steps=5, ramp_steps=20)
        return trained(PENALTIES["L1"], keras.optimizers.Adam(rate), [schedule])

    expected = run()
    assert (expected == 0).any()
    request.getfixturevalue("every_size")
    assert_same(run(), expected)


def test_a_compiled_step_works_in_every_kind_of_train_step(every_size):
    penalty = PENALTIES["SparseGroupLasso"]
    expected = trained(penalty)
    assert_same(trained(penalty, compile_arguments={"steps_per_execution": 5}), expected)
    assert_same(trained(penalty, compile_arguments={"jit_compile": True}), expected)
    assert every_size() > 0
    accumulated = keras.optimizers.Adam(gradient_accumulation_steps=2)
    assert (trained(penalty, accumulated) == 0).any()
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(), initial_scale=4.0)
    assert_same(trained(penalty, scaled), expected)
    for dtype in ("float16", "bfloat16"):
        half = trained(penalty, dtype=dtype)
        assert half.dtype == dtype
        assert (half == 0).any()
    count = every_size()
    trained(penalty, compile_arguments={"run_eagerly": True})
    assert every_size() == count + 40 * 2, "Without a graph, each step of both kernels calls it."


def test_other_penalties_shapes_and_optimizers_have_a_step_of_their_own(every_size):
    trained(PENALTIES["L1"])
    for more, change in enumerate(
        [
            {"penalty": PENALTIES["L1L2"]},
            {"optimizer": keras.optimizers.Adam(epsilon=1e-3)},
            {"kernel_constraint": constraints.Box(-0.5, 0.5)},
        ]
    ):
        trained(**{"penalty": PENALTIES["L1"], **change})
        assert every_size() == 2 + more


@keras.saving.register_keras_serializable("test_compiled")
class Doubled(regularizers.L1):
    """A penalty of a user, whose prox TensorFlow runs in Python."""

    def _prox(self, weights, step):
        import tensorflow as tf

        result = tf.numpy_function(lambda w: w, [super()._prox(weights, 2 * step)], tf.float32)
        return tf.ensure_shape(result, weights.shape)


def test_the_code_of_a_user_is_not_compiled(every_size):
    assert (trained(lambda: Doubled(0.05)) == 0).any()
    assert every_size() == 0
