"""Trains on one device, and on two with `keras.distribution` on JAX; prints differences."""

import json
import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
)

import keras
import numpy as np
from devices import compare, data, documented, fit, network
from keras import distribution, optimizers

import kerasreg

LAYOUTS = {".*(first|third)/kernel": (None, "model"), ".*second/kernel": ("model", None)}


def model_parallel(axes=LAYOUTS):
    """Splits all kernels but the last into two halves, by columns or by rows."""
    mesh = distribution.DeviceMesh((1, 2), ("batch", "model"), distribution.list_devices())
    layouts = distribution.LayoutMap(mesh)
    layouts.update(axes)
    return distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch")


DISTRIBUTIONS = {"DataParallel": distribution.DataParallel, "ModelParallel": model_parallel}
AVERAGED = {"use_ema": True, "ema_momentum": 0.8}
OPTIMIZERS = {
    "momentum": lambda: optimizers.SGD(0.03, momentum=0.9),
    "Adam": lambda: optimizers.Adam(0.03, **AVERAGED),
    # Its step sizes are per weight.
    "RMSprop": lambda: optimizers.RMSprop(0.003, momentum=0.9, **AVERAGED),
}


class Layouts(keras.callbacks.Callback):
    """Records whether weights and slots keep their sharding."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 0:
            weights = self.model.trainable_variables
            self.begun = {tuple(weight.shape): weight.value.sharding for weight in weights}

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        shaped = [*self.model.trainable_variables, *optimizer.variables]
        shaped = [variable for variable in shaped if tuple(variable.shape) in self.begun]
        self.kept = all(
            each.value.sharding.is_equivalent_to(self.begun[tuple(each.shape)], len(each.shape))
            for each in shaped
        )
        ours = optimizer.kerasreg.hook.state.variables
        self.split = [
            name for name, each in ours.items() if not each.value.sharding.is_fully_replicated
        ]


def train(make):
    model, layouts = network(), Layouts()
    model.compile(make(), "mse")
    history, raw = fit(model, layouts, hold=True)
    return layouts, (history, raw, model.get_weights())


def shrunk():
    """Shrinks models on two devices to 9 or 8 of 10 units; returns units and reports."""
    found = {}
    for split, axes in {"first": (None, "model"), "second": ("model", None)}.items():
        parallel = model_parallel({f".*{split}/kernel": axes})
        distribution.set_distribution(parallel)
        stack = [keras.layers.Dense(10, name="first"), keras.layers.Dense(6, name="second")]
        stack = [keras.Input((4,)), *stack, keras.layers.Dense(2, name="last")]
        model = keras.Sequential(stack, name="net")
        kernel = np.array(keras.ops.convert_to_numpy(stack[1].kernel))
        kernel[:, 0] = 0
        stack[1].kernel.assign(kernel)
        whole, report = kerasreg.shrink(model)
        rounded, _ = kerasreg.shrink(model, round_to=2)
        kernel[:, 1] = 0
        stack[1].kernel.assign(kernel)
        fewer, _ = kerasreg.shrink(model, round_to=2)
        distribution.set_distribution(None)
        units = [each.layers[0].units for each in (whole, rounded, fewer)]
        found[split] = {"units": units, "report": report.to_dict()["unknown"]}
    return found


def documentation_runs():
    x, y = data()
    blocks = documented("keras.distribution.set_distribution")
    for block in blocks:
        exec(block, {"keras": keras, "kerasreg": kerasreg, "build_model": network, "x": x, "y": y})
        distribution.set_distribution(None)
    return bool(blocks)


def main():
    results = {}
    for name, make in OPTIMIZERS.items():
        _, one = train(make)
        for kind, distribute in DISTRIBUTIONS.items():
            distribution.set_distribution(distribute())
            layouts, both = train(make)
            distribution.set_distribution(None)
            found = {"kept": layouts.kept, "split": layouts.split}
            results[f"{kind}, {name}"] = {**compare(one, both), **found}
    found = {"cases": results, "documentation": documentation_runs(), "shrunk": shrunk()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
