"""Train one network on several machines, with the same zeros on all of them.

    python examples/several_machines.py                   # two workers on this machine

On real machines, start the same command on each of them, with the environment variable
`TF_CONFIG` of `tf.distribute.MultiWorkerMirroredStrategy`:

    TF_CONFIG='{"cluster": {"worker": ["host1:12345", "host2:12345"]},
                "task": {"type": "worker", "index": 0}}' python examples/several_machines.py

Each worker computes the gradient of its part of every batch. The optimizer adds the gradients up,
and all workers make the same step and the same proximal step. `fit` of Keras 3 does not support
this strategy, so this is a custom training loop in TensorFlow inside `kerasreg.proximal`.
"""

import json
import os
import socket
import subprocess
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"  # `tf.distribute` is TensorFlow's.

import datasets
import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

import kerasreg

SEED = 0
FACTOR = 1e-3
EPOCHS = 20
BATCH_SIZE = 64  # Of all workers together.


# 1. What every worker does ----------------------------------------------------------------------


def work():
    """Train together with the other workers, and compare the weights with theirs."""
    # It must be created before any other TensorFlow operation: it connects to the other workers.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    data = datasets.load("digits")
    with strategy.scope():
        model = build(pixels=data.x_train.shape[1])
        optimizer = keras.optimizers.Adam(3e-3)
        optimizer.build(model.trainable_variables)
    with kerasreg.proximal(model, optimizer):
        train(strategy, model, optimizer, data)
    workers = weights_of_all_workers(strategy, model)
    if strategy.cluster_resolver.task_id == 0:
        Console().print(results(workers, model, data))
    if not all(np.array_equal(weights, workers[0]) for weights in workers):
        sys.exit("The workers ended with different weights.")


def build(pixels: int) -> keras.Model:
    """A classifier with an L1 penalty on every kernel."""
    keras.utils.set_random_seed(SEED)
    l1 = keras.regularizers.L1(FACTOR)
    return keras.Sequential(
        [
            keras.Input((pixels,)),
            keras.layers.Dense(64, activation="relu", kernel_regularizer=l1, name="hidden"),
            keras.layers.Dense(10, kernel_regularizer=l1, name="logits"),
        ]
    )


def train(strategy, model, optimizer, data):
    """The training loop. It contains nothing about the prox."""
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")

    def replica_step(x, y):
        with tf.GradientTape() as tape:
            # The optimizer adds up the gradients of all replicas.
            loss = cross_entropy(y, model(x, training=True)) / BATCH_SIZE
            loss += tf.add_n(model.losses) / strategy.num_replicas_in_sync
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    @tf.function
    def step(x, y):
        strategy.run(replica_step, args=(x, y))

    batches = tf.data.Dataset.from_tensor_slices((data.x_train, data.y_train))
    batches = batches.shuffle(len(data.x_train), seed=SEED).batch(BATCH_SIZE, drop_remainder=True)
    batches = strategy.experimental_distribute_dataset(batches)
    for _ in range(EPOCHS):
        for x, y in batches:
            step(x, y)


# 2. The results ---------------------------------------------------------------------------------


def weights_of_all_workers(strategy, model) -> np.ndarray:
    """All weights of the model as one row per replica."""

    def collect():
        row = tf.concat([tf.reshape(variable.value, (1, -1)) for variable in model.weights], axis=1)
        return tf.distribute.get_replica_context().all_gather(row, axis=0)

    rows = strategy.run(tf.function(collect))
    return strategy.experimental_local_results(rows)[0].numpy()


def results(workers: np.ndarray, model: keras.Model, data: datasets.Dataset) -> Table:
    """One row per worker, from its own weights."""
    accuracy = np.mean(np.argmax(model(data.x_test), axis=1) == data.y_test)
    table = Table(
        title=f"{data.title}, λ = {FACTOR:g}, {len(workers)} workers, {EPOCHS} epochs",
        caption=f"accuracy on the test set: {accuracy:.2%}",
    )
    table.add_column("worker")
    for name in ("exact zeros", "differs from worker 0 in"):
        table.add_column(name, justify="right")
    for worker, weights in enumerate(workers):
        zeros = np.count_nonzero(weights == 0)
        table.add_row(
            str(worker),
            f"{zeros:,} of {weights.size:,} ({zeros / weights.size:.1%})",
            f"{np.count_nonzero(weights != workers[0]):,} weights",
        )
    return table


# 3. Two workers on this machine -----------------------------------------------------------------


def start_workers(count: int) -> int:
    """Run this file `count` times, as the workers of one cluster; returns the exit status."""
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(count)]}
    workers = []
    for index in range(count):
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        environment = {**os.environ, "TF_CONFIG": config}
        workers.append(subprocess.Popen([sys.executable, __file__], env=environment))
    try:
        return wait(workers)
    finally:
        for worker in workers:
            worker.kill()


def wait(workers: list[subprocess.Popen]) -> int:
    """Wait for all workers, or until one fails: the others would wait for it forever."""
    while True:
        codes = [worker.poll() for worker in workers]
        failed = [code for code in codes if code]
        if failed or None not in codes:
            return abs(failed[0]) if failed else 0
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Unused ports of this machine."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


if __name__ == "__main__":
    if "TF_CONFIG" in os.environ:
        work()
    else:
        sys.exit(start_workers(count=2))
