"""The size of a model in memory, in files and exported."""

import gzip
import math
import pathlib
import shutil
import tempfile
import warnings
from dataclasses import dataclass

import keras

# Makes NumPy know the names of bfloat16 and its kin.
import ml_dtypes  # noqa: F401
import numpy as np

from kerasreg._common.report import Report
from kerasreg._common.sheet import Sheet, left, right
from kerasreg._saving.save import require_saveable, save

_COLUMNS = (*left("form"), *right("bytes", "of model.save"), *left("note"))


@dataclass(frozen=True)
class Size:
    """The size of a model in one form.

    Attributes:
        form: what was measured.
        bytes: its size; None where it could not be measured.
        ratio: `bytes` as a fraction of the file of `model.save`; None where one of them is unknown.
        reason: why it could not be measured; None where it was.
    """

    form: str
    bytes: int | None
    ratio: float | None
    reason: str | None


@dataclass(frozen=True)
class SizeReport(Report):
    """The result of `kerasreg.size_report`.

    Attributes:
        model: the name of the model.
        sizes: `{form: Size}`.
    """

    model: str
    sizes: dict[str, Size]

    def __getitem__(self, form: str) -> Size:
        return self.sizes[form]

    def __iter__(self):
        return iter(self.sizes.values())

    def _sheet(self, width=None):
        return Sheet(f"Sizes of {self.model}", _COLUMNS, list(map(_cells, self)))


def size_report(model: keras.Model) -> SizeReport:
    """Measure a model in memory, in files, and exported to LiteRT.

    Everything is written to a temporary folder and measured there. A form that this model, this
    Keras or this backend does not have is listed with the reason.

    Args:
        model: a built Keras model.

    Returns:
        A `SizeReport`. Its forms:

        - `weights`: in memory; `optimizer`: its state in memory, if the model is compiled;
        - `model.save`: Keras' own file, to which the ratios are; and the same, gzipped;
        - `kerasreg.save`: also gzipped, and `smallest`;
        - `LiteRT`: `model.export(path, format="litert")`; and the same, gzipped.

    Raises:
        ValueError: for an unbuilt model.

    Example:

    >>> model = keras.Sequential([keras.Input((500,)), keras.layers.Dense(100)])
    >>> model.set_weights([np.zeros((500, 100)), np.zeros(100)])
    >>> report = kerasreg.size_report(model)
    >>> report["weights"].bytes
    200400
    >>> report["kerasreg.save"].ratio < 0.05
    True
    """
    require_saveable(model, "kerasreg.size_report")
    measured = {"weights": _bytes_of(model.weights)}
    if model.compiled and model.optimizer is not None:
        measured["optimizer"] = _bytes_of(model.optimizer.variables)
    with tempfile.TemporaryDirectory() as folder:
        for form, (name, write) in _files(model).items():
            measured |= _measure_file(form, pathlib.Path(folder, name), write)
    stock = measured["model.save"]
    sizes = {form: _size(form, value, stock) for form, value in measured.items()}
    return SizeReport(model.name, sizes)


def _files(model):
    """`{form: (name of its file, how to write it)}`."""
    return {
        "model.save": ("stock.keras", model.save),
        "kerasreg.save": ("packed.keras", lambda path: save(model, path)),
        "kerasreg.save, smallest": (
            "smallest.keras",
            lambda path: save(model, path, smallest=True),
        ),
        "LiteRT": (
            "model.tflite",
            lambda path: model.export(str(path), format="litert", verbose=False),
        ),
    }


def _measure_file(form, path, write):
    """`{form: bytes, "form, gzipped": bytes}`, with the reason in place of what failed."""
    try:
        with warnings.catch_warnings():
            # Of writing a file that is thrown away; those of a file to keep come from `save`.
            warnings.simplefilter("ignore")
            write(path)
        return {form: path.stat().st_size, f"{form}, gzipped": _gzipped_size(path)}
    except Exception as error:
        # Exporters fail in ways of their own. One that does must not take the rest along.
        first_line = next(iter(str(error).strip().splitlines()), "")
        return {form: f"{type(error).__name__}: {first_line}"}


def _gzipped_size(path):
    packed = path.with_suffix(".gz")
    with path.open("rb") as file, gzip.open(packed, "wb", compresslevel=6) as archive:
        shutil.copyfileobj(file, archive)
    return packed.stat().st_size


def _bytes_of(variables):
    return sum(math.prod(each.shape) * np.dtype(each.dtype).itemsize for each in variables)


def _size(form, value, stock):
    if isinstance(value, str):
        return Size(form, None, None, value)
    return Size(form, value, None if isinstance(stock, str) else value / stock, None)


def _cells(size):
    return (
        size.form,
        "" if size.bytes is None else f"{size.bytes:,}",
        "" if size.ratio is None else f"{size.ratio:.1%}",
        size.reason or "",
    )
