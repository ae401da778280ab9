"""Prunes on one device, and on two with `tf.distribute.MirroredStrategy`; prints differences."""

import json

from mirrored import replicas_are_identical, two_devices  # isort: skip  (sets the backend)

import tensorflow as tf
from devices_pruning import CASES, compare, fit, network


def train(strategy, make, settings):
    with strategy.scope():
        model = network()
        model.compile(make(), "mse", jit_compile=False)
    return model, fit(model, settings)


def main():
    two = two_devices()
    results = {}
    for name, case in CASES.items():
        _, one = train(tf.distribute.get_strategy(), *case)
        model, both = train(two, *case)
        identical = replicas_are_identical(model, model.optimizer)
        results[name] = {**compare(one, both), "identical": identical}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
