"""`kerasreg.save`: stock Keras finds every bit, in fewer bytes, and no failure costs a file."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import architectures
import keras
import numpy as np
import pytest
from keras import layers, ops
from stock import contents

import kerasreg
from kerasreg._saving import packing
from kerasreg._saving import save as saving

TESTS = Path(__file__).parent.parent
MODELS = [
    "sequential",
    "functional",
    "subclassed",
    "nested",
    "recurrent",
    "shared",
    "convolutional",
]


@keras.saving.register_keras_serializable("tests")
class Odd(layers.Layer):
    """Variables of unusual types, an empty one among them."""

    def build(self, shape):
        add = self.add_weight
        self.kernel = add(shape=(shape[-1], 600), name="kernel", dtype="float32")
        self.flags = add(
            shape=(700,), name="flags", dtype="bool", initializer="zeros", trainable=False
        )
        self.codes = add(
            shape=(700,), name="codes", dtype="uint8", initializer="ones", trainable=False
        )
        self.empty = add(shape=(0, 3), name="empty", trainable=False)
        self.seeds = keras.random.SeedGenerator(7)

    def call(self, x):
        return ops.matmul(x, self.kernel)


def trained(name):
    """One of `architectures`, with momentum in its optimizer."""
    model = architectures.MODELS[name][0]()
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"], run_eagerly=True)
    x = architectures.inputs_of(model)
    model.train_on_batch(x, 0 * ops.convert_to_numpy(model(x)))
    return model


def sparse_mlp(sparsity, units=512, dtype=None, zeros="random"):
    model = keras.Sequential(
        [keras.Input((units,)), *[layers.Dense(units, dtype=dtype) for _ in range(2)]]
    )
    rng = np.random.default_rng(0)
    for layer in model.layers:
        kernel = rng.normal(scale=0.05, size=(units, units)).astype("float32")
        score = np.abs(kernel) if zeros == "magnitude" else rng.uniform(size=kernel.shape)
        kernel[score < np.quantile(score, sparsity)] = 0
        layer.kernel.assign(kernel)
    return model


def share(model, folder, **kwargs):
    """Bytes of `kerasreg.save` to bytes of `model.save`."""
    kerasreg.save(model, folder / "packed.keras", **kwargs)
    model.save(folder / "stock.keras")
    return (folder / "packed.keras").stat().st_size / (folder / "stock.keras").stat().st_size


def found_by_stock_keras(*paths):
    """The contents of files, in a process that cannot import kerasreg."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", TESTS / "stock.py", *paths],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_stock_keras_without_kerasreg_finds_every_bit(tmp_path):
    paths, expected = [], []
    for name in MODELS:
        keras.backend.clear_session(free_memory=False)
        model = trained(name)
        for smallest in (False, True):
            paths.append(tmp_path / f"{name}-{smallest}.keras")
            kerasreg.save(model, paths[-1], smallest=smallest)
            expected.append(json.loads(json.dumps(contents(model))))
    assert found_by_stock_keras(*paths) == expected


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16", "float16"])
def test_every_precision(policy, tmp_path):
    model = sparse_mlp(0.9, 64, policy)
    model.compile("adam", "mse")
    model.fit(np.ones((8, 64)), np.ones((8, 64)), verbose=0)
    kerasreg.save(model, tmp_path / "model.keras")
    assert contents(keras.models.load_model(tmp_path / "model.keras")) == contents(model)


def test_unusual_dtypes_empty_arrays_and_nan(tmp_path):
    model = keras.Sequential([keras.Input((4,)), Odd(), layers.Dropout(0.5)])
    odd = model.layers[0]
    odd.flags.assign(np.arange(700) % 3 == 0)
    odd.codes.assign(np.arange(700) % 256)
    kernel = np.zeros((4, 600), "float32")
    kernel[0, ::3], kernel[1], kernel[2, :5] = np.nan, -0.0, np.inf
    odd.kernel.assign(kernel)
    kerasreg.save(model, tmp_path / "model.keras")
    assert contents(keras.models.load_model(tmp_path / "model.keras")) == contents(model)


def test_a_model_without_weights(tmp_path):
    model = keras.Sequential([keras.Input((4,)), layers.Flatten()])
    kerasreg.save(model, tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded(x)), x)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs tf.string")
def test_assets(tmp_path):
    words = layers.StringLookup(vocabulary=["alpha", "beta"])
    model = keras.Sequential([keras.Input((1,), dtype="string"), words, layers.Embedding(3, 2)])
    kerasreg.save(model, tmp_path / "model.keras")
    model.save(tmp_path / "stock.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].get_vocabulary() == ["[UNK]", "alpha", "beta"]
    names = [
        sorted(zipfile.ZipFile(tmp_path / f"{name}.keras").namelist())
        for name in ("model", "stock")
    ]
    assert names[0] == names[1]


def test_training_continues_from_the_file(tmp_path):
    x, y = np.ones((32, 64), "float32"), np.ones((32, 64), "float32")
    model = sparse_mlp(0.5, 64)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    model.fit(x, y, verbose=0)
    kerasreg.save(model, tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        each.fit(x, y, verbose=0, shuffle=False)
    assert contents(loaded) == contents(model)


# What deflate makes of scattered zeros, and bzip2; theory's limit at 90 % is 9.8 %.
@pytest.mark.parametrize(
    ("sparsity", "most", "smallest"),
    [
        (0.0, 0.84, 0.84),
        (0.5, 0.565, 0.52),
        (0.9, 0.14, 0.12),
        (0.99, 0.025, 0.02),
        (1, 0.01, 0.005),
    ],
)
def test_bytes(sparsity, most, smallest, tmp_path):
    model = sparse_mlp(sparsity)
    assert share(model, tmp_path) < most
    assert share(model, tmp_path, smallest=True) < smallest


def test_the_file_gets_smaller_with_every_zero(tmp_path):
    shares = [share(sparse_mlp(each), tmp_path) for each in np.linspace(0, 1, 11)]
    assert shares == sorted(shares, reverse=True)


def test_a_pruned_model_takes_an_eighth_of_the_bytes(tmp_path):
    assert share(sparse_mlp(0.9, 1024, zeros="magnitude"), tmp_path) < 0.132


def test_optimizer_slots_of_pruned_weights_cost_nothing_either(tmp_path):
    model = sparse_mlp(0.9)
    kept = ops.not_equal(model.layers[0].kernel, 0)
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    model.fit(rng.normal(size=(64, 512)), rng.normal(size=(64, 512)), verbose=0)
    for variable in [*model.trainable_variables, *model.optimizer.variables]:
        if len(variable.shape) > 1:
            variable.assign(ops.where(kept, ops.convert_to_tensor(variable), 0))
    assert share(model, tmp_path) < 0.14


@pytest.mark.parametrize("name", ["sequential", "convolutional", "recurrent"])
def test_small_dense_models_are_never_larger(name, tmp_path):
    assert share(trained(name), tmp_path) < 1


def test_noise_is_never_larger_by_more_than_a_per_cent(tmp_path):
    model = sparse_mlp(0)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        noise = np.frombuffer(rng.bytes(512 * 512 * 4), "float32").reshape(512, 512)
        layer.kernel.assign(noise)
    assert share(model, tmp_path) < 1.01


def test_keras_opens_a_file_of_zeros(tmp_path, monkeypatch):
    from keras.src.saving import saving_lib

    # The sizes from which Keras is on its guard, if this Keras is: 4 GiB, too large for a test.
    monkeypatch.setattr(saving_lib, "_H5_DATASET_BOMB_FLOOR_BYTES", 1, raising=False)
    monkeypatch.setattr(saving_lib, "_ZIP_MEMBER_BOMB_FLOOR_BYTES", 1, raising=False)
    monkeypatch.setattr(saving_lib, "_ZIP_EXTRACT_BOMB_FLOOR_BYTES", 1, raising=False)
    monkeypatch.setattr(saving, "_BOMB_BYTES", 1)
    model = sparse_mlp(1)
    for smallest in (False, True):
        kerasreg.save(model, tmp_path / "model.keras", smallest=smallest)
        assert contents(keras.models.load_model(tmp_path / "model.keras")) == contents(model)


def test_weights_alone(tmp_path):
    model = sparse_mlp(0.9)
    kerasreg.save(model, tmp_path / "packed.weights.h5")
    model.save_weights(tmp_path / "stock.weights.h5")
    packed, stock = (tmp_path / f"{name}.weights.h5" for name in ("packed", "stock"))
    assert packed.stat().st_size < 0.14 * stock.stat().st_size
    other = sparse_mlp(0)
    other.load_weights(packed)
    assert contents(other) == contents(model)


def test_load_weights_from_a_model_file(tmp_path):
    model, other = sparse_mlp(0.9), sparse_mlp(0)
    kerasreg.save(model, tmp_path / "model.keras")
    other.load_weights(tmp_path / "model.keras")
    assert contents(other) == contents(model)


def test_saved_twice_is_saved_once(tmp_path):
    model = trained("sequential")
    kerasreg.save(model, tmp_path / "first.keras")
    loaded = keras.models.load_model(tmp_path / "first.keras")
    kerasreg.save(loaded, str(tmp_path / "second.keras"))
    assert contents(keras.models.load_model(tmp_path / "second.keras")) == contents(model)


@pytest.mark.parametrize("failing", ["pack", "_write_zip", "model"])
def test_a_failure_leaves_the_old_file(failing, tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    kerasreg.save(sparse_mlp(0.5, 8), path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("no space left on device")

    model = sparse_mlp(0.9, 8)
    if failing == "model":
        monkeypatch.setattr(model.layers[-1], "save_own_variables", fail)
    else:
        monkeypatch.setattr(saving, failing, fail)
    with pytest.raises(OSError, match="no space left"):
        kerasreg.save(model, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.keras"]


def test_nothing_is_left_beside_the_file(tmp_path):
    kerasreg.save(sparse_mlp(0.5, 8), tmp_path / "model.keras")
    kerasreg.save(sparse_mlp(0.9, 8), tmp_path / "model.keras")
    assert os.listdir(tmp_path) == ["model.keras"]


def test_the_file_has_the_default_permissions(tmp_path):
    kerasreg.save(sparse_mlp(0.5, 8), tmp_path / "model.keras")
    (tmp_path / "other").touch()
    assert (tmp_path / "model.keras").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "latest.keras").symlink_to(tmp_path / "model.keras")
    kerasreg.save(sparse_mlp(0.5, 8), tmp_path / "latest.keras")
    assert (tmp_path / "latest.keras").is_symlink()
    assert (tmp_path / "model.keras").is_file()


def test_no_overwriting(tmp_path):
    path = tmp_path / "model.keras"
    model = sparse_mlp(0.5, 8)
    kerasreg.save(model, path, overwrite=False)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        kerasreg.save(sparse_mlp(0.9, 8), path, overwrite=False)
    assert path.read_bytes() == before


@pytest.mark.parametrize("path", ["model.h5", "model", "model.weights.json", None, 3])
def test_paths_of_another_kind(path):
    with pytest.raises(ValueError, match=r"must end in `\.keras`"):
        kerasreg.save(sparse_mlp(0.5, 8), path)


def test_other_mistakes(tmp_path):
    model = sparse_mlp(0.5, 8)
    with pytest.raises(ValueError, match=r"built Keras model. Received: 'net', not built"):
        kerasreg.save(keras.Sequential([layers.Dense(2)], name="net"), tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"built Keras model. Received: 3"):
        kerasreg.save(3, tmp_path / "model.keras")
    with pytest.raises(ValueError, match="do not support bzip2"):
        kerasreg.save(model, tmp_path / "model.weights.h5", smallest=True)
    with pytest.raises(FileNotFoundError, match="Create the folder"):
        kerasreg.save(model, tmp_path / "folder" / "model.keras")
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(FileExistsError, match="which is a folder"):
        kerasreg.save(model, tmp_path / "folder.keras")


def test_the_weights_are_packed_once(tmp_path):
    """The chunks are inside of the HDF5 file; the zip leaves it as it is, to be read in pieces."""
    kerasreg.save(sparse_mlp(0.9), tmp_path / "model.keras")
    info = zipfile.ZipFile(tmp_path / "model.keras").getinfo("model.weights.h5")
    assert info.compress_type == zipfile.ZIP_STORED
    assert packing._CHUNK_BYTES % 4096 == 0
