"""Readers and constants of layers that multiply by a kernel."""

import numpy as np

from kerasreg._graph.analysis import Reader
from kerasreg._graph.rules.base import flat, numpy


def read_kernel(variable, reads, writes, tensor_labels, written_labels, constants, **options):
    """Returns the `Reader` of a kernel.

    Args:
        variable: the kernel.
        reads, writes: the input axes and the output axes of the kernel.
        tensor_labels, written_labels: the labels of each of these axes.
        constants: the constants of the flattened inputs.
        options: other attributes of the reader.
    """
    kernel = numpy(variable)
    reads = [axis % kernel.ndim for axis in reads]
    writes = [axis % kernel.ndim for axis in writes]
    others = [axis for axis in range(kernel.ndim) if axis not in (*reads, *writes)]
    kernel = kernel.transpose(*reads, *writes, *others)
    inputs = int(np.prod(kernel.shape[: len(reads)]))
    outputs = int(np.prod(kernel.shape[len(reads) : len(reads) + len(writes)]))
    kernel = kernel.reshape(inputs, outputs, -1)

    def fold(values):
        used = values != 0
        return np.einsum("i,iok->o", values[used], kernel[used])

    return Reader(
        labels=flat(*tensor_labels),
        writes=flat(*written_labels),
        connected=(kernel != 0).any(axis=2),
        constants=constants,
        fold=fold,
        kernel=variable if len(reads) == 1 else None,
        axis=reads[0],
        **options,
    )


def outputs_of(reader, bias):
    """Returns the constant outputs of a reader, before the activation; NaN if they vary."""
    known = reader.constants == 0
    if reader.bias is not None:
        known |= np.isfinite(reader.constants)
    values = reader.fold(np.where(known, reader.constants, 0.0))
    if bias is not None:
        values = values + numpy(bias).reshape(-1)
    return np.where(reader.connected[~known].any(axis=0), np.nan, values)
