"""Files of models with penalties: with them for kerasreg, or without them for stock Keras."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
from architectures import inputs_of, regularizers
from attached import build
from keras import layers

import kerasreg
from kerasreg import constraints
from kerasreg.regularizers import L1, L1SP, ActivityEntropy, GroupLasso


def describe(model):
    return {
        name: [type(each).__name__, each.get_config()] for name, each in regularizers(model).items()
    }


TESTS = Path(__file__).parent.parent
_STOCK = """
import json, sys
sys.modules["kerasreg"] = None
import keras, architectures
found = {}
for path in sys.argv[1:]:
    try:
        model = keras.models.load_model(path)
        found[path] = [len(model.losses), bool(model.compiled), type(model).__name__]
    except Exception as error:
        found[path] = str(error)
print(json.dumps(found))
"""


def arguments():
    """Penalties and constraints as arguments of layers, of those around others too."""
    inputs = keras.Input((5, 4))
    x = layers.Dense(
        3,
        kernel_regularizer=GroupLasso(0.1, axis=0),
        bias_regularizer=keras.regularizers.L2(0.1),
        activity_regularizer=ActivityEntropy(0.1),
        kernel_constraint=constraints.Box(-1.0, 1.0),
    )(inputs)
    x = layers.Bidirectional(layers.GRU(2, recurrent_regularizer=L1(0.1)))(x)
    reference = L1SP(0.1, reference=np.ones((4, 1)))
    model = keras.Model(inputs, layers.Dense(1, kernel_regularizer=reference)(x))
    model.compile("adam", "mse", run_eagerly=True)
    model.train_on_batch(np.ones((2, 5, 4)), np.ones((2, 1)))
    return model


def test_models_with_and_without_objects_of_kerasreg(tmp_path):
    built = {"arguments": arguments()}
    for name in ("attention", "sequential", "subclassed", "nested"):
        model, rules = build(name, compiled=True)
        kerasreg.attach(model, rules)
        built[name] = model
    paths = {}
    for name, model in built.items():
        before = describe(model)
        for detach in (False, True):
            paths[name, detach] = str(tmp_path / f"{name}-{detach}.keras")
            kerasreg.save(model, paths[name, detach], detach=detach)
        # The model is as it was, and so is the file that keeps all.
        assert describe(model) == before
        assert describe(keras.models.load_model(paths[name, False])) == before
    stock = tmp_path / "stock.keras"
    built["attention"].save(stock)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _STOCK, *paths.values(), str(stock)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for name, model in built.items():
        # Keras' own penalty stays: that of the bias.
        kind = type(model).__mro__[2 if "Attached" in str(type(model).__mro__) else 0].__name__
        losses = 1 if name == "arguments" else 0
        assert found[paths[name, True]] == [losses, True, kind], name
        if name == "sequential":
            # For `L1` in a layer, Keras takes its own of the same name and config.
            assert found[paths[name, False]] == [2, True, kind]
        else:
            assert "import kerasreg" in found[paths[name, False]], name
    assert "kerasreg>Attached" in found[str(stock)]


def test_detached_weights_outputs_and_optimizer_are_the_same(tmp_path):
    model, rules = build("attention", compiled=True)
    kerasreg.attach(model, rules)
    kerasreg.save(model, tmp_path / "model.keras", detach=True)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = inputs_of(model)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    for own, other in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (own, other)))


def test_a_model_without_objects_of_kerasreg_has_the_keras_config(tmp_path):
    model, _ = build("convolutional")
    configs = []
    for name, write in (("ours", kerasreg.save), ("stock", lambda model, path: model.save(path))):
        write(model, tmp_path / f"{name}.keras")
        with zipfile.ZipFile(tmp_path / f"{name}.keras") as archive:
            configs.append(archive.read("config.json"))
    assert configs[0] == configs[1]


def test_detach_removes_constraints(tmp_path):
    model = arguments()
    assert kerasreg.detach(model)
    assert all(variable.constraint is None for variable in model.weights)
    assert "kerasreg" not in model.to_json()
