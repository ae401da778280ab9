"""Prune on one device, and on two with `tf.distribute.MirroredStrategy`; prints how they differ."""

import json
import os

os.environ["KERAS_BACKEND"] = "tensorflow"

import tensorflow as tf
from devices_pruning import CASES, compare, fit, network
from mirrored import replicas_are_identical


def train(strategy, make, settings):
    with strategy.scope():
        model = network()
        model.compile(make(), "mse", jit_compile=False)
    return model, fit(model, settings)


def main():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    results = {}
    for name, case in CASES.items():
        _, one = train(tf.distribute.get_strategy(), *case)
        model, both = train(two, *case)
        identical = replicas_are_identical(model, model.optimizer)
        results[name] = {**compare(one, both), "identical": identical}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
