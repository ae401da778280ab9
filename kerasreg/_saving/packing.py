"""Compression of HDF5 weight files, in which zeros then take almost no space."""

import math
import os
import zlib

import h5py
import numpy as np

# Keras rejects an array that is compressed by more than 1000 as a decompression bomb. Zeros alone
# are compressed by 1032, but with the overhead of HDF5 for chunks of this size by less than 1000.
_CHUNK_BYTES = 2**18
# For smaller arrays, the overhead of chunks is larger than the gain.
_WORTH_BYTES = 512
# Bit masks of the filters that a chunk skips: bit 0 is shuffle, bit 1 is deflate.
_NO_SHUFFLE, _NO_FILTER = 0b01, 0b11


def pack(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Writes the content of the HDF5 file `source` in fewer bytes to the path `target`.

    Arrays are read, compressed and written chunk by chunk, so that the memory that is needed does
    not depend on their size. Compression is lossless, and h5py reads the file as usual.
    """
    # Version 1.10 of the format is the first with a compact index of chunks. All versions of h5py
    # that Keras 3 supports can read it.
    with h5py.File(source) as old, h5py.File(target, "w", libver=("v110", "v110")) as new:
        _pack_group(old, new)


def _pack_group(old, new):
    new.attrs.update(old.attrs)
    for name, item in old.items():
        if isinstance(item, h5py.Group):
            _pack_group(item, new.create_group(name))
        elif _is_worth_packing(item):
            _pack_dataset(item, new, name)
        else:
            old.copy(name, new)


def _is_worth_packing(dataset):
    # Strings of variable length are Python objects, which are not stored in the array itself.
    return dataset.size and dataset.nbytes >= _WORTH_BYTES and not dataset.dtype.hasobject


def _pack_dataset(old, group, name):
    chunks = _chunk_shape(old.shape, old.dtype.itemsize)
    options = {"chunks": chunks, "shuffle": True, "compression": "gzip"}
    new = group.create_dataset(name, old.shape, old.dtype, **options)
    new.attrs.update(old.attrs)
    for region in new.iter_chunks():
        packed, skipped_filters = _smallest(_padded(old[region], chunks))
        new.id.write_direct_chunk([part.start for part in region], packed, skipped_filters)


def _chunk_shape(shape, itemsize):
    """Returns the shape of the longest contiguous part of an array that fits into a chunk."""
    chunk = list(shape)
    for axis, size in enumerate(shape):
        row = itemsize * math.prod(shape[axis + 1 :])
        chunk[axis] = min(size, max(1, _CHUNK_BYTES // row))
        if row <= _CHUNK_BYTES:
            break
    return tuple(chunk)


def _padded(block, shape):
    """Returns a block padded to the shape of a chunk, because HDF5 stores only full chunks."""
    if block.shape == shape:
        return block
    whole = np.zeros(shape, block.dtype)
    whole[tuple(map(slice, block.shape))] = block
    return whole


def _smallest(block):
    """Returns `(bytes, skipped filters)` for the smallest of the forms that HDF5 can read.

    Unshuffled bytes are smallest for scattered zeros: shuffling would encode the positions of the
    zeros once per byte of a weight. Shuffled bytes are smallest for dense weights: exponents are
    stored next to each other.
    """
    plain = block.tobytes()
    by_byte = np.frombuffer(plain, "uint8").reshape(-1, block.itemsize).T.tobytes()
    forms = [(_deflate(by_byte), 0), (_deflate(plain), _NO_SHUFFLE), (plain, _NO_FILTER)]
    return min(forms, key=lambda form: len(form[0]))


def _deflate(data):
    # Only runs are searched, because weights contain no other repetitions. With random zeros, this
    # is smaller than level 9, and about twenty times faster.
    deflate = zlib.compressobj(memLevel=9, strategy=zlib.Z_RLE)
    return deflate.compress(data) + deflate.flush()
