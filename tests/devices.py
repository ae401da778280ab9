"""A small problem and shared functions for scripts that train on several devices.

Each script runs in a new process, because devices are chosen before the backend starts. It prints
its results as JSON, which the tests read.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

TESTS = pathlib.Path(__file__).parent
PAGE = TESTS.parent / "docs" / "distribution.md"


def findings(script, **environment):
    """Runs a script of this folder in a new process and returns its results."""
    process = run(TESTS / script, PYTHONPATH=str(TESTS), **environment)
    return json.loads(process.stdout.splitlines()[-1])


def run(path, **environment):
    """Runs a script in a new process, which must succeed, and returns the process."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("JAX_COMPILATION_CACHE_DIR", "PYTHONSAFEPATH", "TF_CONFIG", "XLA_FLAGS")
    }
    process = subprocess.run(
        [sys.executable, str(path)],
        env={**inherited, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.returncode == 0, process.stderr
    return process


def documented(word):
    """Returns the Python blocks of `docs/distribution.md` that contain `word`."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    return [block for block in blocks if word in block]


def data():
    """Returns `(x, y)`: 48 samples of 10 features, of which y depends on 3."""
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(48, 10)).astype("float32")
    return x, (x[:, :3].sum(1, keepdims=True) + 0.1 * rng.normal(size=(48, 1))).astype("float32")


def network():
    """A model whose three penalties take one step per weight, per group, and for all weights."""
    import keras
    import numpy as np

    from kerasreg.regularizers import L1, SLOPE, GroupLasso

    keras.utils.set_random_seed(0)

    def dense(units, penalty, name):
        return keras.layers.Dense(
            units, "tanh", use_bias=False, kernel_regularizer=penalty, name=name
        )

    model = keras.Sequential(
        [
            keras.Input((10,)),
            dense(8, L1(0.3), "first"),
            dense(6, GroupLasso(0.6, axis=-1), "second"),
            dense(4, SLOPE(0.1), "third"),
            keras.layers.Dense(1, name="last"),
        ],
        name="network",
    )
    # A small unit, which becomes zero after a few steps of any size.
    second = model.get_layer("second").kernel
    second.assign(second * np.where(np.arange(6) < 1, 1e-3, 1.0))
    return model


def fit(model, *callbacks, hold):
    """Trains a few steps; returns `(history, weights before averages replace them)`."""
    import keras

    import kerasreg

    seen = {}
    remember = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: seen.update(weights=model.get_weights())
    )
    if hold:
        callbacks += (kerasreg.callbacks.ThresholdPruning(0.1, at=0, hold=True),)
    x, y = data()
    history = model.fit(
        x, y, batch_size=16, epochs=2, shuffle=False, verbose=0,
        callbacks=[
            *callbacks,
            kerasreg.callbacks.ProximalGradient(),
            kerasreg.callbacks.SparsityLogger(os.environ["LOGS"]),
            remember,
        ],
    )  # fmt: skip
    return history.history, seen["weights"]


def compare(one, several):
    """Compares two results of `fit`, each with the final weights of the model."""
    (history, raw, final), (other_history, other_raw, other_final) = one, several
    pairs = [*zip(raw, other_raw, strict=True), *zip(final, other_final, strict=True)]
    histories = zip(history.values(), other_history.values(), strict=True)
    return {
        "difference": max(float(abs(a - b).max()) for a, b in pairs),
        "same zeros": all(bool(((a == 0) == (b == 0)).all()) for a, b in pairs),
        "zeros": [int((kernel == 0).sum()) for kernel in raw[:3]],
        "history": max(abs(a - b) for pair in histories for a, b in zip(*pair, strict=True)),
    }
