"""HDF5 files are rewritten without losing anything."""

import h5py
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kerasreg._saving import packing

DTYPES = ["float64", "float32", "float16", "int8", "uint8", "int32", "uint32", "bool", "complex64"]


def packed(folder, values):
    """The paths of `(the file with these values, the same packed)`."""
    old, new = folder / "old.h5", folder / "new.h5"
    with h5py.File(old, "w") as file:
        for name, value in values.items():
            file[f"layers/{name}/vars/0"] = value
    packing.pack(old, new)
    return old, new


def assert_same(old, new):
    with h5py.File(old) as before, h5py.File(new) as after:
        names = []
        before.visit(names.append)
        found = []
        after.visit(found.append)
        assert names == found
        for name in names:
            assert dict(before[name].attrs) == dict(after[name].attrs)
            if isinstance(before[name], h5py.Dataset):
                assert before[name].dtype == after[name].dtype
                assert before[name].shape == after[name].shape
                values = before[name][()], after[name][()]
                if before[name].dtype.hasobject:
                    assert list(values[0]) == list(values[1])
                else:
                    assert values[0].tobytes() == values[1].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (1000,), (37, 53), (3, 3, 17, 5), (1, 1, 999)])
def test_every_bit_of_every_type(dtype, shape, tmp_path, monkeypatch):
    # Many chunks, and at the ends of the axes parts of some.
    monkeypatch.setattr(packing, "_CHUNK_BYTES", 256)
    rng = np.random.default_rng(0)
    value = np.frombuffer(rng.bytes(np.dtype(dtype).itemsize * int(np.prod(shape))), "uint8")
    value = (value % 2).astype(bool) if dtype == "bool" else value
    value = value.view(dtype)[: int(np.prod(shape))].reshape(shape)
    assert_same(*packed(tmp_path, {"random": value, "zeros": np.zeros_like(value)}))


def test_special_values_keep_their_bits(tmp_path):
    value = np.zeros(1000, "float32")
    value[::7], value[1::7], value[2::7] = np.nan, -0.0, -np.inf
    value[3::7] = np.array(0x7FC00BAD, "uint32").view("float32")
    assert_same(*packed(tmp_path, {"special": value}))


def test_bfloat16_and_attributes(tmp_path):
    old, new = tmp_path / "old.h5", tmp_path / "new.h5"
    value = np.linspace(-1, 1, 5000).astype(ml_dtypes.bfloat16)
    with h5py.File(old, "w") as file:
        file.create_dataset("a/vars/0", data=value).attrs["dtype"] = "bfloat16"
        file["a/vars"].attrs["name"] = "dense"
        file["text"] = ["words", "of any length"]
    packing.pack(old, new)
    assert_same(old, new)
    with h5py.File(new) as file:
        assert file["a/vars/0"].id.get_storage_size() < value.nbytes


@given(
    value=arrays.arrays(
        "float32", arrays.array_shapes(max_dims=4, max_side=30), elements=st.sampled_from([0, 1.5])
    ),
    chunk_bytes=st.integers(1, 5000),
)
def test_chunks_fit_and_are_long(value, chunk_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_CHUNK_BYTES", chunk_bytes)
        chunk = packing._chunk_shape(value.shape, 4)
    assert all(0 < part <= size for part, size in zip(chunk, value.shape, strict=True))
    assert np.prod(chunk) * 4 <= max(4, chunk_bytes)
    # Contiguous: at most one axis is cut, ones before and whole axes behind it.
    cut = next((axis for axis, part in enumerate(chunk) if part > 1), len(chunk))
    assert chunk[cut + 1 :] == value.shape[cut + 1 :]


def test_dense_weights_are_stored_by_byte_and_sparse_ones_are_not(tmp_path):
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(100, 100)).astype("float32")
    sparse = np.where(rng.uniform(size=dense.shape) < 0.9, np.float32(0), dense)
    noise = np.frombuffer(rng.bytes(40000), "uint32").reshape(100, 100)
    _, new = packed(tmp_path, {"dense": dense, "sparse": sparse, "noise": noise})
    with h5py.File(new) as file:
        masks = {
            name: file[f"layers/{name}/vars/0"].id.get_chunk_info(0).filter_mask
            for name in ("dense", "sparse", "noise")
        }
    assert masks == {"dense": 0, "sparse": packing._NO_SHUFFLE, "noise": packing._NO_FILTER}


def test_keras_opens_a_file_of_zeros(tmp_path):
    value = np.zeros((4096, 4096), "float32")
    _, new = packed(tmp_path, {"zeros": value})
    with h5py.File(new) as file:
        # Keras refuses arrays of which less than 1/1000 is stored.
        assert value.nbytes / 1000 < file["layers/zeros/vars/0"].id.get_storage_size()
    assert new.stat().st_size < value.nbytes / 800


def test_memory_does_not_grow_with_the_arrays(tmp_path):
    import tracemalloc

    old = tmp_path / "old.h5"
    with h5py.File(old, "w") as file:
        file["large"] = np.zeros((2000, 4000), "float32")
    tracemalloc.start()
    packing.pack(old, tmp_path / "new.h5")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6
