"""Malicious and damaged configs and records: clear errors, and little memory."""

import base64
import copy
import json
import random
import tracemalloc
import zlib

import architectures
import keras
import numpy as np
import pytest
from keras import ops

import kerasreg
from kerasreg.regularizers import L1, L1SP, L2SP, WeightedL1
from kerasreg.regularizers.arrays import PackedArray, encode

LARGE = (2048, 2100)  # 17 MB


def bomb(shape):
    """Returns the config of an array of zeros, without creating the array."""
    pack = zlib.compressobj(9)
    left, parts = 4 * int(np.prod(shape, dtype="int64")), []
    while left:
        size = min(left, 2**22)
        parts.append(pack.compress(bytes(size)))
        left -= size
    data = b"".join([*parts, pack.flush()])
    return {"shape": list(shape), "dtype": "float32", "data": base64.b64encode(data).decode()}


def test_an_array_of_another_shape_is_never_unpacked():
    config = bomb((128, 2**20))  # 512 MiB
    assert len(json.dumps(config)) < 2**20
    tracemalloc.start()
    for make in (
        lambda: L1SP(0.1, reference=config),
        lambda: L2SP(0.1, reference=config),
        lambda: WeightedL1(0.1, weights=config),
        lambda: WeightedL1(0.1, pilot=config),
    ):
        penalty = make()
        inputs = keras.Input((4,))
        model = keras.Model(inputs, keras.layers.Dense(3, kernel_regularizer=penalty)(inputs))
        with pytest.raises(ValueError, match=r"must have the shape of .*\(4, 3\).*\(128, 1048576"):
            _ = model.losses
        with pytest.raises(ValueError, match=r"must have the shape of"):
            kerasreg.attach(model, {"kernel": penalty})
        assert type(penalty).from_config(penalty.get_config()).get_config() == penalty.get_config()
        assert "array of shape (128, 1048576)" in repr(penalty)
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


def test_a_large_array_survives_saving():
    reference = np.random.default_rng(0).normal(size=LARGE).astype("float32")
    given = L2SP(0.5, reference=reference)
    penalty = L2SP.from_config(json.loads(json.dumps(given.get_config())))
    assert isinstance(penalty._given(), PackedArray)
    weights = np.zeros(LARGE, "float32")
    assert float(penalty(weights)) == pytest.approx(float(given(weights)), rel=1e-6)
    assert repr(copy.deepcopy(penalty)) == repr(given)
    negative = WeightedL1(0.1, weights=encode(-np.ones(LARGE, "float32")))
    with pytest.raises(ValueError, match=r"`weights` must not be negative"):
        negative(weights)
    infinite = np.zeros(LARGE, "float32")
    infinite[-1, -1] = np.inf
    with pytest.raises(ValueError, match=r"`reference` must be finite"):
        L1SP(0.1, reference=encode(infinite))(weights)


@pytest.mark.parametrize(
    "shape", [[-1, -4], [2**62, 2**62], [0, 2**62], [1.0], [True], [1] * 65, [[1]], None, {}]
)
def test_impossible_shapes_raise(shape):
    config = {**encode(np.ones(1, "float32")), "shape": shape}
    with pytest.raises(ValueError, match=r"`reference` must be an array.*Received: reference="):
        L1SP(0.1, reference=config)


def attached():
    model = architectures.custom()
    kerasreg.attach(model, {"scale/scale": L1(0.25), "mixing": L2SP(0.5)})
    return model


RECORDS = [
    ({"-1": "L1"}, r"variable '-1' of a model with 4"),
    ({"4": "L1"}, r"variable '4' of a model with 4"),
    ({"00": "L1"}, r"variable '00'"),
    ({" 1": "L1"}, r"variable ' 1'"),
    ({"1_0": "L1"}, r"variable '1_0'"),
    ({"x": "L1"}, r"variable 'x'"),
    ({"0": "L2SP"}, r"must have the shape of"),
    ({"0": None}, r"an invalid regularizer for variable 0: None"),
    ({"0": 3}, r"an invalid regularizer for variable 0: 3"),
    ([], r"regularizers that are not a dict"),
    (None, r"regularizers that are not a dict"),
]


@pytest.mark.parametrize(("record", "message"), RECORDS, ids=repr)
def test_errors_of_broken_records_name_the_broken_part(record, message):
    model = attached()
    config = model.get_config()
    known = {"L1": config["regularizers"]["0"], "L2SP": config["regularizers"]["1"]}
    if isinstance(record, dict):
        record = {place: known.get(each, each) for place, each in record.items()}
    with pytest.raises(ValueError, match=message):
        type(model).from_config({**config, "regularizers": record})
    with pytest.raises(ValueError, match=r"cannot be read.*without `model` or `regularizers`"):
        type(model).from_config({"regularizers": record})


def test_randomly_changed_records_load_correctly_or_raise_a_clear_error():
    model = attached()
    config = json.loads(json.dumps(model.get_config()))
    rng = random.Random(0)
    for _ in range(40):
        changed = copy.deepcopy(config)
        record, place = changed["regularizers"], rng.choice(["0", "1"])
        target = rng.choice([record, record[place], record[place]["config"]])
        key = rng.choice(sorted(target))
        value = rng.choice([None, -1, "", [], {}, "kernel", 1e400, {"class_name": "L1"}])
        if rng.random() < 0.3:
            del target[key]
        else:
            target[key] = value
        try:
            loaded = type(model).from_config(changed)
        except (ValueError, TypeError):  # Keras' own errors are of both kinds.
            continue
        for variable, own in zip(loaded.weights, model.weights, strict=True):
            assert own.regularizer is not None or variable.regularizer is None
        assert all(np.isfinite(float(ops.convert_to_numpy(each))) for each in loaded.losses)
