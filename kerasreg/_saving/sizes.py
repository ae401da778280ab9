"""`kerasreg.size_report`: the sizes of a model in memory, in files and exported."""

import gzip
import math
import pathlib
import shutil
import tempfile
import warnings
from dataclasses import dataclass

import keras

# Registers bfloat16 and similar dtypes with NumPy.
import ml_dtypes  # noqa: F401
import numpy as np

from kerasreg._common.lookup import look_up
from kerasreg._common.report import Report
from kerasreg._common.sheet import Sheet, left, right
from kerasreg._saving.save import require_saveable, save

_COLUMNS = (*left("form"), *right("bytes", "of model.save"), *left("note"))


@dataclass(frozen=True)
class Size:
    """The size of a model in one form.

    Attributes:
        form: name of the form.
        bytes: its size in bytes; None if it could not be measured.
        ratio: `bytes` as a fraction of the file of `model.save`; None if one of them is unknown.
        reason: why it could not be measured; None if it was measured.
    """

    form: str
    bytes: int | None
    ratio: float | None
    reason: str | None


@dataclass(frozen=True)
class SizeReport(Report):
    """The result of `kerasreg.size_report`.

    Attributes:
        model: name of the model.
        sizes: `{form: Size}`.
    """

    model: str
    sizes: dict[str, Size]

    def __getitem__(self, form: str | int) -> Size:
        """Returns a size by its name or its position."""
        return look_up(self.sizes, form, "names")

    def __iter__(self):
        return iter(self.sizes.values())

    def _sheet(self, width=None):
        return Sheet(f"Sizes of {self.model}", _COLUMNS, list(map(_cells, self)))


def size_report(model: keras.Model) -> SizeReport:
    """Measures the size of a model in memory, in files, and exported to LiteRT.

    All files are written to a temporary folder and measured there. A form that the model, the
    installed Keras or the backend does not support is listed with the reason.

    Args:
        model: a built Keras model.

    Returns:
        A `kerasreg.results.SizeReport` with these forms:

        - `weights`: in memory; `optimizer`: its state in memory, if the model is compiled;
        - `model.save`: the file of Keras, to which the ratios refer; also gzipped;
        - `kerasreg.save`: also gzipped, and with `smallest=True`;
        - `LiteRT`: the file of `model.export(path, format="litert")`; also gzipped.

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
    """Returns `{form: (name of its file, function that writes it)}`."""
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
    """Returns `{form: bytes, "form, gzipped": bytes}`, or `{form: reason}` if writing fails."""
    try:
        with warnings.catch_warnings():
            # The file is deleted, so warnings about its content are of no use.
            warnings.simplefilter("ignore")
            write(path)
        return {form: path.stat().st_size, f"{form}, gzipped": _gzipped_size(path)}
    except Exception as error:
        # Exporters raise many kinds of errors. The other forms are still measured.
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
