"""Training on several devices or machines gives the zeros and weights of one device."""

import keras
import pytest
from devices import TESTS, findings, run


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("runs on TensorFlow only")
    return findings("mirrored.py", LOGS=str(tmp_path_factory.mktemp("logs")))


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    if keras.backend.backend() != "jax":
        pytest.skip("runs on JAX only")
    return findings("sharded.py", LOGS=str(tmp_path_factory.mktemp("logs")))


def unlike_one_device(cases):
    """Returns the cases whose weights or logs differ from those of one device beyond rounding."""
    return {
        name: found
        for name, found in cases.items()
        # Muon normalizes gradients, which enlarges rounding errors of small ones.
        if not found["difference"] < (2e-4 if name.startswith("Muon") else 2e-6)
        or not found["history"] < (2e-4 if name.startswith("Muon") else 2e-5)
        or not found["same zeros"]
    }


def test_mirrored_replicas_end_bit_identical(mirrored):
    """Weights, slots, averages, and the variables of kerasreg are equal.

    Lamb is left out: it computes norms on each device, whose last bit depends on the alignment of
    memory.
    """
    cases = {name: each for name, each in mirrored["cases"].items() if "Lamb" not in name}
    assert [name for name, found in cases.items() if not found["identical"]] == []


def test_two_mirrored_devices_give_the_result_of_one(mirrored):
    assert unlike_one_device(mirrored["cases"]) == {}


def test_mirrored_zeros_are_exact(mirrored):
    """With penalties of single weights, of groups, and of all weights with one step."""
    zeros = {name: found["zeros"] for name, found in mirrored["cases"].items()}
    assert [name for name, counts in zeros.items() if not all(counts)] == []


def test_two_shards_on_jax_give_the_result_of_one_device(sharded):
    assert unlike_one_device(sharded["cases"]) == {}
    assert all(all(found["zeros"]) for found in sharded["cases"].values())


def test_weights_and_state_keep_their_sharding(sharded):
    cases = sharded["cases"]
    assert all(found["kept"] for found in cases.values())
    masks = ["mask_0", "mask_1", "mask_2"]
    gains = ["gain_0", "gain_1", "gain_2"]
    split = {name: sorted(found["split"]) for name, found in cases.items()}
    assert split == {
        "DataParallel, momentum": [],
        "DataParallel, Adam": [],
        "DataParallel, RMSprop": [],
        # The gain of momentum is a scalar.
        "ModelParallel, momentum": masks,
        "ModelParallel, Adam": masks,
        "ModelParallel, RMSprop": [*gains, *masks],
    }


def test_shrink_reports_units_that_two_devices_cannot_split(sharded):
    places = {"first": "axis 1 of 'net/first/kernel'", "second": "axis 0 of 'net/second/kernel'"}
    for split, place in places.items():
        found = sharded["shrunk"][split]
        assert found["units"] == [10, 10, 8]
        (reason,) = found["report"]
        assert f"{place} would keep 9 of 10 units" in reason
        assert "2 devices of `keras.distribution`; pass `round_to=2`" in reason


def test_the_documented_code_for_mirrored_devices_runs(mirrored):
    assert mirrored["documentation"]


def test_the_documented_code_for_shards_runs(sharded):
    assert sharded["documentation"]


def test_two_workers_of_the_example_end_with_equal_weights():
    """`MultiWorkerMirroredStrategy`: the example fails if the weights differ."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("runs on TensorFlow only")
    process = run(TESTS.parent / "examples" / "several_machines.py")
    assert process.stdout.count("0 weights") == 2
    assert "AutoGraph" not in process.stderr
