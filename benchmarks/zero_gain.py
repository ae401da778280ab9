"""Compare Keras' L1 with the prox for weights that have no gradient yet, for every optimizer.

There are three problems. The residual network has two blocks whose last normalization starts with
a gamma of zero, so that no other weight of a block has a gradient in the first step. The embedding
is used for both factors of a dot product, and most of its ids are rare. LoRA trains adapters, one
of which starts at zero. Each model is trained for 12 epochs of 160 steps; the objective is that of
all the data, with the penalty.

    python benchmarks/zero_gain.py [--optimizers Adam Lion] [--seeds 0 1] [--json FILE]
"""

import argparse
import json
import warnings

import keras
import numpy as np
from keras import layers, optimizers
from rich.console import Console
from rich.table import Table

import kerasreg

EPOCHS, STEPS, BATCH = 12, 160, 32

OPTIMIZERS = {
    "SGD, momentum": lambda: optimizers.SGD(0.01, momentum=0.9),
    "Adam": lambda: optimizers.Adam(1e-3),
    "AdamW": lambda: optimizers.AdamW(1e-3, weight_decay=0.0),
    "AMSGrad": lambda: optimizers.Adam(1e-3, amsgrad=True),
    "Adamax": lambda: optimizers.Adamax(2e-3),
    "Nadam": lambda: optimizers.Nadam(1e-3),
    "RMSprop": lambda: optimizers.RMSprop(1e-3),
    "RMSprop, momentum": lambda: optimizers.RMSprop(2e-4, momentum=0.9),
    "RMSprop, centered": lambda: optimizers.RMSprop(1e-3, centered=True),
    "Adagrad": lambda: optimizers.Adagrad(0.03),
    "Adadelta": lambda: optimizers.Adadelta(1.0),
    "Adafactor": lambda: optimizers.Adafactor(0.02),
    "Lamb": lambda: optimizers.Lamb(0.01),
    "Lion": lambda: optimizers.Lion(3e-4),
    "Muon": lambda: optimizers.Muon(1e-3, weight_decay=None, adam_weight_decay=None),
}


def residual(seed, penalty=None):
    """16 units, two blocks, BatchNormalization with a gamma of zero."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(STEPS * BATCH, 16)).astype("float32")
    y = np.abs(x[:, :1]) - np.abs(x[:, 1:2])
    penalty = penalty or keras.regularizers.L1(1e-3)
    inputs = keras.Input((16,))
    h = layers.Dense(16, kernel_regularizer=penalty)(inputs)
    for _ in range(2):
        b = layers.Dense(64, kernel_regularizer=penalty)(h)
        b = layers.Activation("relu")(layers.BatchNormalization()(b))
        b = layers.Dense(16, kernel_regularizer=penalty)(b)
        h = layers.Add()([h, layers.BatchNormalization(gamma_initializer="zeros")(b)])
    return keras.Model(inputs, layers.Dense(1)(h)), x, y


def embedding(seed, penalty=None):
    """A dot product of two rows of an embedding, with ids that follow a power law."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, 51) ** 1.0
    ids = rng.choice(50, size=(STEPS * BATCH, 2), p=share / share.sum())
    rows = rng.normal(size=(50, 3))
    y = np.sum(rows[ids[:, 0]] * rows[ids[:, 1]], axis=1, keepdims=True) / 3
    inputs = keras.Input((2,), dtype="int32")
    penalty = penalty or keras.regularizers.L1(1e-3)
    rows = layers.Embedding(50, 8, embeddings_regularizer=penalty)(inputs)
    return keras.Model(inputs, layers.Dot(1)([rows[:, 0], rows[:, 1]])), ids, y.astype("float32")


def lora(seed, penalty=None):
    """Adapters of rank 4 in two frozen layers; the target differs by matrices of rank 1."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(STEPS * BATCH, 64)).astype("float32")
    penalty = penalty or keras.regularizers.L1(1e-3)
    hidden = [layers.Dense(64, activation="relu", kernel_regularizer=penalty) for _ in range(2)]
    model = keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(1)])
    kernels = [layer.kernel.numpy() for layer in hidden]
    for layer, kernel in zip(hidden, kernels, strict=True):
        u, v = rng.normal(size=(64, 1)), rng.normal(size=(1, 64))
        layer.kernel.assign(kernel + u @ v / 12)
    y = model.predict(x, verbose=0, batch_size=len(x))
    for layer, kernel in zip(hidden, kernels, strict=True):
        layer.kernel.assign(kernel)
        layer.enable_lora(4)
    model.layers[-1].trainable = False
    return model, x, y


PROBLEMS = {"zero gamma": residual, "skewed embedding": embedding, "LoRA": lora}


def trained(problem, optimizer, seed, callbacks=(), penalty=None):
    """`(objective, fraction of zeros among the penalized weights)` after training."""
    keras.utils.set_random_seed(seed)
    model, x, y = PROBLEMS[problem](seed, penalty)
    model.compile(OPTIMIZERS[optimizer](), "mse", steps_per_execution=STEPS, jit_compile=False)
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=list(callbacks))
    weights = [w for w in model.trainable_variables if w.regularizer is not None]
    zeros = sum(int(np.sum(w.numpy() == 0)) for w in weights) / sum(w.numpy().size for w in weights)
    return float(model.evaluate(x, y, verbose=0, batch_size=len(x))), zeros


def main():
    """Train all combinations and print a table per problem."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS))
    parser.add_argument("--optimizers", nargs="+", default=list(OPTIMIZERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--json", help="write the numbers to this file")
    parser.add_argument("--ours-only", action="store_true", help="without Keras' own L1")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    numbers, console = {}, Console()
    for problem in arguments.problems:
        table = Table(title=f"{problem}, mean of seeds {arguments.seeds}")
        for column in ("optimizer", "Keras' L1", "ProximalGradient", "zeros"):
            table.add_column(column, justify="left" if column == "optimizer" else "right")
        for name in arguments.optimizers:
            stock, ours = [], []
            for seed in arguments.seeds:
                if not arguments.ours_only:
                    stock.append(trained(problem, name, seed)[0])
                ours.append(trained(problem, name, seed, [kerasreg.callbacks.ProximalGradient()]))
            objective, zeros = np.mean(ours, axis=0)
            theirs = float(np.mean(stock)) if stock else float("nan")
            numbers[f"{problem} | {name}"] = [theirs, objective, zeros]
            table.add_row(name, f"{theirs:.4f}", f"{objective:.4f}", f"{zeros:.0%}")
            if arguments.json:
                with open(arguments.json, "w") as file:
                    json.dump(numbers, file, indent=1)
        console.print(table)


if __name__ == "__main__":
    main()
