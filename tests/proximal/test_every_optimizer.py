"""Every optimizer reaches a solution in closed form in few steps.

With decorrelated features the squared error is `||w - c||^2 / 3 + constant`, so the optimum is the
prox of the penalty at `c`, with a step of 3/2. `test_optimizers.py` has the harder problems.
"""

import keras
import numpy as np
import pytest
from keras import optimizers
from problems import decorrelated, trained_together

from kerasreg.regularizers import L1, MCP, GroupLasso

STEPS = 400


def decaying(rate, steps=60, by=0.25):
    return optimizers.schedules.ExponentialDecay(rate, steps, by)


def warm(rate):
    return optimizers.schedules.CosineDecay(0.0, STEPS - 50, warmup_target=rate, warmup_steps=50)


OPTIMIZERS = {
    "SGD": lambda: optimizers.SGD(0.5),
    "SGD, decaying": lambda: optimizers.SGD(decaying(0.5)),
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.8),
    "momentum, decaying": lambda: optimizers.SGD(decaying(0.3), momentum=0.8),
    "momentum, warm-up": lambda: optimizers.SGD(warm(0.2), momentum=0.8),
    "Nesterov": lambda: optimizers.SGD(0.1, momentum=0.8, nesterov=True),
    "Adam": lambda: optimizers.Adam(decaying(0.2), beta_2=0.99),
    "Adam, warm-up": lambda: optimizers.Adam(warm(0.1), beta_2=0.99),
    "AMSGrad": lambda: optimizers.Adam(decaying(0.2), beta_2=0.99, amsgrad=True),
    "AdamW": lambda: optimizers.AdamW(decaying(0.2), beta_2=0.99, weight_decay=0.0),
    "Adamax": lambda: optimizers.Adamax(decaying(0.2), beta_2=0.99),
    "Nadam": lambda: optimizers.Nadam(decaying(0.2), beta_2=0.99),
    "Adagrad": lambda: optimizers.Adagrad(0.3),
    "Adadelta": lambda: optimizers.Adadelta(decaying(3.0), rho=0.9, epsilon=1e-3),
    "Adafactor": lambda: optimizers.Adafactor(decaying(2.0), epsilon_2=0.1),
    "Lamb": lambda: optimizers.Lamb(decaying(0.3, 80, 0.3), beta_2=0.99),
    "Lion": lambda: optimizers.Lion(decaying(0.1, 80, 0.3), beta_1=0.8, beta_2=0.9),
    "RMSprop": lambda: optimizers.RMSprop(decaying(0.1)),
    "RMSprop, momentum": lambda: optimizers.RMSprop(decaying(0.03), momentum=0.8),
}
if hasattr(optimizers, "MultiOptimizer"):
    OPTIMIZERS["MultiOptimizer"] = lambda: optimizers.MultiOptimizer(
        lambda variable: optimizers.Adam(decaying(0.2))
    )


PENALTIES = [L1(0.07), GroupLasso(0.12, axis=0), MCP(0.07, gamma=10.0)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimum_is_the_prox_of_least_squares(name):
    x, y = decorrelated()
    best = np.linalg.lstsq(x.astype("float64"), y, rcond=None)[0].astype("float32")
    layers = [
        keras.layers.Dense(3, use_bias=False, kernel_regularizer=penalty) for penalty in PENALTIES
    ]
    kernels = trained_together(x, y, layers, OPTIMIZERS[name](), STEPS)
    for penalty, kernel in zip(PENALTIES, kernels, strict=True):
        expected = np.array(keras.ops.convert_to_numpy(penalty.prox(best, 1.5)))
        assert 0 < np.mean(expected == 0) < 1
        np.testing.assert_array_equal(kernel == 0, expected == 0, err_msg=repr(penalty))
        np.testing.assert_allclose(kernel, expected, atol=1e-3, err_msg=repr(penalty))
