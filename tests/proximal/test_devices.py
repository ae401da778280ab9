"""Several devices and machines: the same zeros on all of them, and the result of one."""

import keras
import pytest
from devices import TESTS, findings, run


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the tests on TensorFlow have it")
    return findings("mirrored.py", LOGS=str(tmp_path_factory.mktemp("logs")))


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    if keras.backend.backend() != "jax":
        pytest.skip("the tests on JAX have it")
    return findings("sharded.py", LOGS=str(tmp_path_factory.mktemp("logs")))


def unlike_one_device(cases):
    """The cases whose weights or logs are not those of one device, up to rounding."""
    return {
        name: found
        for name, found in cases.items()
        # Muon takes gradients of any size for equal: it enlarges the rounding of small ones.
        if not found["difference"] < (2e-4 if name.startswith("Muon") else 2e-6)
        or not found["history"] < (2e-4 if name.startswith("Muon") else 2e-5)
        or not found["same zeros"]
    }


def test_mirrored_replicas_end_bit_identical(mirrored):
    """Weights, slots, averages, and the state of ours.

    Lamb takes norms on each device, and their last bit depends on how memory is aligned.
    """
    cases = {name: each for name, each in mirrored["cases"].items() if "Lamb" not in name}
    assert [name for name, found in cases.items() if not found["identical"]] == []


def test_two_mirrored_devices_end_where_one_does(mirrored):
    assert unlike_one_device(mirrored["cases"]) == {}


def test_mirrored_zeros_are_exact(mirrored):
    """Of the penalties of single weights, of groups, and with one step for all weights."""
    zeros = {name: found["zeros"] for name, found in mirrored["cases"].items()}
    assert [name for name, counts in zeros.items() if not all(counts)] == []


def test_two_shards_on_jax_end_where_one_device_does(sharded):
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


def test_units_that_two_devices_cannot_split_stay_and_the_report_names_both_numbers(sharded):
    places = {"first": "axis 1 of 'net/first/kernel'", "second": "axis 0 of 'net/second/kernel'"}
    for split, place in places.items():
        found = sharded["shrunk"][split]
        assert found["units"] == [10, 10, 8]
        (reason,) = found["report"]
        assert f"{place} would keep 9 of 10 units" in reason
        assert "2 devices of `keras.distribution`; pass `round_to=2`" in reason


def test_documentation_of_mirrored_devices(mirrored):
    assert mirrored["documentation"]


def test_documentation_of_shards(sharded):
    assert sharded["documentation"]


def test_several_machines():
    """Two workers of `MultiWorkerMirroredStrategy`; the script fails if their weights differ."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the tests on TensorFlow have it")
    process = run(TESTS.parent / "examples" / "several_machines.py")
    assert process.stdout.count("0 weights") == 2
    assert "AutoGraph" not in process.stderr
