"""Compare `kerasreg.statistics` with other functions that read every weight of ResNet50.

Run `python benchmarks/weight_statistics.py`. The functions are measured in turns, so that other
load on the machine affects all of them. Prints median times and ratios to `model.get_weights()`.
"""

import time

import keras
import numpy as np
from keras import ops

import kerasreg

ROUNDS = 15


def eager_reductions(model):
    """Four numbers per variable, as a custom callback would compute them."""
    for variable in model.weights:
        float(ops.sum(ops.cast(ops.equal(variable, 0), "int32")))
        float(ops.sum(ops.abs(variable)))
        float(ops.sqrt(ops.sum(ops.square(variable))))
        float(ops.max(ops.abs(variable)))


def resnet(regularizer=None):
    """ResNet50, with a penalty on its kernels."""
    model = keras.applications.ResNet50(weights=None)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            variable.regularizer = regularizer
    return model


def main():
    """Measure all functions in turns and print the ratios."""
    plain, lasso = resnet(), resnet(keras.regularizers.L1(1e-4))
    group = resnet(kerasreg.regularizers.GroupLasso(1e-4))
    contenders = {
        "model.get_weights()": plain.get_weights,
        "kerasreg.statistics": lambda: kerasreg.statistics(plain),
        "kerasreg.statistics, L1": lambda: kerasreg.statistics(lasso),
        "kerasreg.statistics, GroupLasso": lambda: kerasreg.statistics(group),
        "4 eager reductions per variable": lambda: eager_reductions(plain),
    }
    times = {name: [] for name in contenders}
    for _ in range(ROUNDS + 1):
        for name, contender in contenders.items():
            start = time.perf_counter()
            contender()
            times[name].append(time.perf_counter() - start)
    medians = {name: np.median(seconds[1:]) for name, seconds in times.items()}
    reference = medians["model.get_weights()"]
    print(f"ResNet50, {plain.count_params():,} weights, {keras.backend.backend()}")
    for name, median in medians.items():
        print(f"{name:34}{1000 * median:8.1f} ms   x {median / reference:.2f}")


if __name__ == "__main__":
    main()
