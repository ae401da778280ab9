"""A small problem and shared functions for scripts that prune on several devices."""

import keras
import numpy as np
from devices import data

from kerasreg import schedules
from kerasreg.callbacks import Pruning

RAMP = schedules.Polynomial(0.75, begin_step=2, end_step=10, frequency=2)
AVERAGED = {"use_ema": True, "ema_momentum": 0.8}
CASES = {
    "momentum": (lambda: keras.optimizers.SGD(0.03, momentum=0.9), {}),
    "Adam, averaged, global": (
        lambda: keras.optimizers.Adam(0.03, **AVERAGED),
        {"scope": "global"},
    ),
    "Adam, Taylor": (lambda: keras.optimizers.Adam(0.03), {"score": "taylor"}),
    "Adam, regrown": (lambda: keras.optimizers.Adam(0.03), {"regrow": "gradient"}),
    "RMSprop, units": (lambda: keras.optimizers.RMSprop(0.003, momentum=0.9), {"pattern": "unit"}),
    "Adam, 2:4": (lambda: keras.optimizers.Adam(0.03), {"pattern": "2:4", "schedule": None}),
    "SGD, soft": (lambda: keras.optimizers.SGD(0.1), {"hold": False}),
}


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((10,)),
            keras.layers.Dense(8, "tanh", name="first"),
            keras.layers.Dense(4, "tanh", name="second"),
            keras.layers.Dense(1, name="third"),
        ],
        name="network",
    )


def fit(model, settings, *callbacks):
    """Trains a few steps with pruning and returns the final weights."""
    x, y = data()
    pruning = Pruning(**{"schedule": RAMP, "exclude": "third", **settings})
    model.fit(
        x, y, batch_size=16, epochs=4, shuffle=False, verbose=0, callbacks=[pruning, *callbacks]
    )
    return [np.array(each) for each in model.get_weights()]


def compare(one, several):
    """Compares the weights of two fits."""
    return {
        "difference": max(float(abs(a - b).max()) for a, b in zip(one, several, strict=True)),
        "same masks": all(
            bool(((a == 0) == (b == 0)).all()) for a, b in zip(one, several, strict=True)
        ),
        "zeros": [int((kernel == 0).sum()) for kernel in several[:4:2]],
    }
