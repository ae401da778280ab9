"""Trains on one device, and on two with `tf.distribute.MirroredStrategy`; prints differences."""

import json
import os

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from devices import compare, data, documented, fit, network
from keras import optimizers

import kerasreg


def two_devices():
    """Returns a strategy over two CPU devices; must be called before TensorFlow is used."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def several(**kwargs):
    default = optimizers.Adam(0.03, **kwargs)
    parts = {
        ".*first/kernel": optimizers.SGD(0.03, momentum=0.9, **kwargs),
        ".*second/kernel": optimizers.Adafactor(0.1, clip_threshold=0.5, **kwargs),
    }
    return optimizers.MultiOptimizer(optimizers.OptimizerMap(default, parts))


OPTIMIZERS = {
    "SGD": lambda **kwargs: optimizers.SGD(0.1, **kwargs),
    "momentum": lambda **kwargs: optimizers.SGD(0.03, momentum=0.9, nesterov=True, **kwargs),
    "Adam": lambda **kwargs: optimizers.Adam(0.03, **kwargs),
    "Lamb": lambda **kwargs: optimizers.Lamb(0.03, **kwargs),
    "Adadelta": lambda **kwargs: optimizers.Adadelta(20.0, **kwargs),
    "Adafactor": lambda **kwargs: optimizers.Adafactor(0.1, clip_threshold=0.5, **kwargs),
    "Muon": lambda **kwargs: optimizers.Muon(0.03, **kwargs),
    "MultiOptimizer": several,
    "LossScaleOptimizer": lambda **kwargs: optimizers.LossScaleOptimizer(
        optimizers.SGD(0.03, momentum=0.9, **kwargs), initial_scale=8.0
    ),
}
AVERAGED = {"use_ema": True, "ema_momentum": 0.8}
HOLD = ("momentum", "MultiOptimizer")
CASES = {
    f"{name}, averaged" + ", hold" * (name in HOLD): (make, AVERAGED, name in HOLD)
    for name, make in OPTIMIZERS.items()
}


def train(strategy, make, kwargs, hold):
    with strategy.scope():
        model = network()
        model.compile(make(**kwargs), "mse", jit_compile=False)
    history, raw = fit(model, hold=hold)
    return model, (history, raw, model.get_weights())


def replicas_are_identical(model, optimizer):
    for variable in [*model.variables, *optimizer.variables]:
        first, second = (np.asarray(each) for each in variable.value.values)
        if first.tobytes() != second.tobytes():
            return False
    return True


def documentation_runs():
    """Runs `fit` and the custom loop of `docs/distribution.md`."""
    x, y = data()
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    names = {"keras": keras, "kerasreg": kerasreg, "build_model": network, "x": x, "y": y}
    (of_fit,) = documented("MirroredStrategy()")
    exec(of_fit, dict(names))
    (of_a_loop,) = documented("kerasreg.proximal(")
    names |= {"strategy": two, "batch_size": 16}
    exec(of_a_loop, names)
    zeros = kerasreg.statistics(names["model"]).total.zeros
    return zeros > 0 and replicas_are_identical(names["model"], names["optimizer"])


def main():
    two = two_devices()
    results = {}
    for name, case in CASES.items():
        _, one = train(tf.distribute.get_strategy(), *case)
        model, both = train(two, *case)
        identical = replicas_are_identical(model, model.optimizer)
        results[name] = {**compare(one, both), "identical": identical}
    print(json.dumps({"cases": results, "documentation": documentation_runs()}))


if __name__ == "__main__":
    main()
