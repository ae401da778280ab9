"""Compare `kerasreg.save` with `model.save`: bytes and seconds at several sparsities.

Run `python benchmarks/saving.py`. The functions are measured in turns, so that other load on the
machine affects all of them. Bytes and median times are printed relative to `model.save`.
"""

import functools
import pathlib
import tempfile
import time

import keras
import numpy as np

import kerasreg

ROUNDS = 3
WAYS = {
    "model.save": lambda model, path: model.save(path),
    "kerasreg.save": kerasreg.save,
    "smallest=True": functools.partial(kerasreg.save, smallest=True),
}


def network(sparsity, magnitude):
    """784-1024-1024-10, with zeros at random positions or where the weights were smallest."""
    widths = (784, 1024, 1024, 10)
    layers = [keras.layers.Dense(units) for units in widths[1:]]
    model = keras.Sequential([keras.Input(widths[:1]), *layers])
    rng = np.random.default_rng(0)
    for layer in model.layers:
        kernel = rng.normal(scale=0.05, size=layer.kernel.shape)
        score = np.abs(kernel) if magnitude else rng.uniform(size=kernel.shape)
        layer.kernel.assign(np.where(score < np.quantile(score, sparsity), 0, kernel))
    return model


def seconds(function, *args):
    """The seconds of one call."""
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def measure(model, folder):
    """`{way: (bytes, seconds to save, to load_model, to load_weights)}`, medians."""
    paths = {way: folder / f"{position}.keras" for position, way in enumerate(WAYS)}
    times = {way: [] for way in WAYS}
    for _ in range(ROUNDS + 1):
        for way, write in WAYS.items():
            path = paths[way]
            saved = seconds(write, model, path)
            loaded = seconds(keras.models.load_model, path)
            times[way].append((saved, loaded, seconds(model.load_weights, path)))
    medians = {way: np.median(rows[1:], axis=0) for way, rows in times.items()}
    return {way: (paths[way].stat().st_size, *medians[way]) for way in WAYS}


def main():
    """Measure and print a table in Markdown."""
    print("| zeros | how | bytes | save | load_model | load_weights |")
    print("|---:|---|---:|---:|---:|---:|")
    cases = [(0.0, False), (0.5, False), (0.9, False), (0.9, True), (0.99, False)]
    for sparsity, magnitude in cases:
        with tempfile.TemporaryDirectory() as folder:
            measured = measure(network(sparsity, magnitude), pathlib.Path(folder))
        stock = measured.pop("model.save")
        for way, numbers in measured.items():
            share, *times = (own / of for own, of in zip(numbers, stock, strict=True))
            name = f"{sparsity:.0%}{', the smallest' if magnitude else ''}"
            cells = [name, way, f"{share:.1%}", *(f"{ratio:.2f}x" for ratio in times)]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
