"""Prunes on one device, and on two with `keras.distribution` on JAX; prints differences."""

import json

from sharded import model_parallel  # isort: skip  (sets the backend and two devices)

import keras
from devices_pruning import CASES, compare, fit, network
from keras import distribution

DISTRIBUTIONS = {
    "DataParallel": distribution.DataParallel,
    "ModelParallel": lambda: model_parallel({".*first/kernel": (None, "model")}),
}


class Shards(keras.callbacks.Callback):
    """Records whether the first kernel, its mask and its slots stay split."""

    def on_epoch_end(self, epoch, logs=None):
        variables = [*self.model.trainable_variables, *self.model.optimizer.variables]
        shaped = [v for v in variables if tuple(v.shape) == (10, 8)]
        self.split = [v.path for v in shaped if not v.value.sharding.is_fully_replicated]
        self.whole = len(shaped) - len(self.split)


def train(make, settings):
    model, shards = network(), Shards()
    model.compile(make(), "mse")
    return fit(model, settings, shards), shards


def main():
    singles = {name: train(*case)[0] for name, case in CASES.items()}
    results = {}
    for kind, make in DISTRIBUTIONS.items():
        keras.distribution.set_distribution(make())
        for name, case in CASES.items():
            several, shards = train(*case)
            found = {"split": len(shards.split), "whole": shards.whole}
            results[f"{kind}, {name}"] = {**compare(singles[name], several), **found}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
