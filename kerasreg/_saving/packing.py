"""Rewrites HDF5 files of weights so that zeros take almost no space; h5py reads them."""

import math
import os
import zlib

import h5py
import numpy as np

# All zeros, deflated, are 1/1032. Keras takes an array of more than 1/1000 for a decompression
# bomb, and what HDF5 adds to a chunk of this size keeps even those below.
_CHUNK_BYTES = 2**18
# What HDF5 needs to describe chunks is more than there is to gain below.
_WORTH_BYTES = 512
# The filters that a chunk went without, as bits, in their order: shuffle, deflate.
_NO_SHUFFLE, _NO_FILTER = 0b01, 0b11


def pack(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Write the HDF5 file `source` to the path `target`: the same content in fewer bytes.

    Arrays are read, packed and written chunk by chunk, so that memory does not grow with them. They
    keep their type and every bit.
    """
    # Version 1.10 of the format, the first with a compact index of chunks; every h5py that Keras 3
    # runs with reads it.
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
    # Strings of any length are Python objects, which are stored apart from their array.
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
    """The longest contiguous piece of an array that is no larger than a chunk."""
    chunk = list(shape)
    for axis, size in enumerate(shape):
        row = itemsize * math.prod(shape[axis + 1 :])
        chunk[axis] = min(size, max(1, _CHUNK_BYTES // row))
        if row <= _CHUNK_BYTES:
            break
    return tuple(chunk)


def _padded(block, shape):
    """The chunks at the end of an axis are stored whole."""
    if block.shape == shape:
        return block
    whole = np.zeros(shape, block.dtype)
    whole[tuple(map(slice, block.shape))] = block
    return whole


def _smallest(block):
    """`(bytes, filters that were skipped)` of the smallest of the forms that HDF5 can undo.

    Scattered zeros are best left between the weights: apart, each byte of a weight would tell
    again where the zeros are. Dense weights are best by bytes: all exponents, then all mantissas.
    """
    plain = block.tobytes()
    by_byte = np.frombuffer(plain, "uint8").reshape(-1, block.itemsize).T.tobytes()
    forms = [(_deflate(by_byte), 0), (_deflate(plain), _NO_SHUFFLE), (plain, _NO_FILTER)]
    return min(forms, key=lambda form: len(form[0]))


def _deflate(data):
    # Runs only: weights repeat nothing else. That is smaller than level 9 at random zeros, and some
    # twenty times faster.
    deflate = zlib.compressobj(memLevel=9, strategy=zlib.Z_RLE)
    return deflate.compress(data) + deflate.flush()
