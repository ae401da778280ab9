"""Several devices: the same masks as on one, and the same on each."""

import keras
import pytest
from devices import findings

ZEROS = {"units": [60, 24], "2:4": [32, 16]}


@pytest.fixture(scope="module")
def mirrored():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("runs on TensorFlow only")
    return findings("mirrored_pruning.py")


@pytest.fixture(scope="module")
def sharded():
    if keras.backend.backend() != "jax":
        pytest.skip("runs on JAX only")
    return findings("sharded_pruning.py")


def assert_as_on_one_device(cases):
    for name, found in cases.items():
        assert found["same masks"], name
        assert found["difference"] < 2e-6, name
        if "global" in name:
            assert sum(found["zeros"]) == 84, name
        else:
            kind = name.rpartition(", ")[2]
            assert found["zeros"] == ZEROS.get(kind, [60, 24]), name


def test_mirrored_training_equals_one_device(mirrored):
    assert_as_on_one_device(mirrored)


def test_mirrored_replicas_end_bit_identical(mirrored):
    assert [name for name, found in mirrored.items() if not found["identical"]] == []


def test_sharded_training_equals_one_device(sharded):
    assert_as_on_one_device(sharded)


def test_masks_are_sharded_like_their_weights(sharded):
    for name, found in sharded.items():
        if name.startswith("ModelParallel"):
            # The kernel; with masks, they and what the optimizer remembers.
            assert found["split"] >= 1, name
            assert found["whole"] == 0, name
