"""Loops are compiled once on JAX, whatever the values; other backends run them as they are."""

import keras
import numpy as np
from keras import ops
from tensors import BACKEND

from kerasreg._prox.once import compiled_once
from kerasreg.regularizers import FusedLasso


def test_one_trace_for_each_shape_and_each_static_argument():
    traces = []

    @compiled_once("power")
    def function(x, power=1):
        traces.append(power)
        return x**power

    for value in (1.0, 2.0, 3.0):
        assert float(function(ops.convert_to_tensor(value))) == value
        assert float(function(ops.convert_to_tensor(value), power=2)) == value**2
    assert len(traces) == (2 if BACKEND == "jax" else 6)


def test_a_prox_without_jit_takes_any_kind_of_step():
    penalty, weights = FusedLasso(1.0), np.array([0.5, -0.5, 7.0, 8.0], "float32")
    for step in (2.0, np.full(4, 2.0, "float32"), keras.Variable(2.0)):
        x = ops.convert_to_numpy(penalty.prox(weights, step))
        np.testing.assert_array_equal(x, [0.0, 0.0, 6.0, 6.0])
