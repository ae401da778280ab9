"""`kerasreg.save`: model files in which zeros take almost no space."""

import json
import math
import os
import pathlib
import zipfile
from typing import Any

import keras

# Registers bfloat16 and similar dtypes with NumPy.
import ml_dtypes  # noqa: F401
import numpy as np

from kerasreg._saving.configs import detached, with_hints
from kerasreg._saving.packing import pack
from kerasreg._saving.place import checked_place, put_in_place, scratch

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
# The most files at the same time: uncompressed, packed, and with bzip2.
_FILES = 3
# Keras rejects files that are compressed by more than this, if they are larger than 256 MiB.
_MAX_EXPANSION = 100
_BOMB_BYTES = 2**28


def save(
    model: keras.Model,
    filepath: str | os.PathLike,
    overwrite: bool = True,
    smallest: bool = False,
    *,
    detach: bool = False,
) -> None:
    """Saves a model as `model.save` does, in a file in which zeros take almost no space.

    The file has the same content as that of `model.save`, bit for bit: the weights, the optimizer
    state, the compile configuration and the assets. `keras.models.load_model(filepath)` opens it. A
    model with penalties or constraints of kerasreg needs `import kerasreg` before loading, as with
    `model.save`; with `detach=True`, it does not. With 90 % zeros at random places, the file has
    2/15 of the bytes of Keras' file; with dense weights, 5/6. The file is written atomically: if
    saving fails or is killed, the old file is unchanged. A replaced file keeps its mode.

    Args:
        model: a built Keras model.
        filepath: a string or `pathlib.Path` that ends in `.keras`, or in `.weights.h5` for the
            weights alone, as in `model.save_weights`. The uncompressed file needs space in the
            system's temporary folder or next to `filepath`.
        overwrite: whether an existing file may be replaced.
        smallest: also try bzip2, and keep the smaller file: a ninth with 90 % zeros. Loading takes
            two to five times as long, and `load_weights` from such a `.keras` file, which
            decompresses it repeatedly, more than ten times. Only for `.keras`.
        detach: write the file without the objects that `kerasreg.detach` removes, for inference.
            The model itself is not changed. By default the file has them, so that training
            continues with the same objective.

    Raises:
        ValueError: for an unbuilt model, a path of another kind, or `smallest` with `.weights.h5`.
        FileExistsError: if `filepath` is a folder or a pipe, or an existing file with
            `overwrite=False`. (Keras asks at the prompt.)
        FileNotFoundError: if the folder does not exist.
        PermissionError: if the folder is read-only.

    Example:

    >>> model = keras.Sequential([keras.Input((500,)), keras.layers.Dense(100)])
    >>> model.set_weights([np.zeros((500, 100)), np.zeros(100)])
    >>> kerasreg.save(model, "model.keras")
    >>> os.path.getsize("model.keras") < 10_000
    True
    >>> keras.models.load_model("model.keras").count_params()
    50100
    """
    require_saveable(model, "kerasreg.save")
    target = _checked(filepath, overwrite, smallest)
    with scratch(target, _FILES * _bytes_of(model)) as folder:
        if target.name.endswith(".h5"):
            file = _write_weights(model, folder)
        else:
            file = _write_model(model, folder, smallest, detach)
        put_in_place(file, target)


def require_saveable(model: Any, caller: str) -> None:
    """Raises a `ValueError` unless this is a built model."""
    if isinstance(model, keras.Model) and model.built:
        return
    received = f"'{model.name}', not built" if isinstance(model, keras.Model) else repr(model)
    raise ValueError(
        f"`{caller}` needs a built Keras model. Received: {received}. Start the model with "
        "`keras.Input(shape)`, call `model.build(input_shape)`, or call it once on a batch."
    )


def _checked(filepath, overwrite, smallest):
    is_path = isinstance(filepath, str | os.PathLike)
    if not is_path or not os.fspath(filepath).endswith((".keras", ".weights.h5")):
        raise ValueError(
            "`filepath` must end in `.keras`, or in `.weights.h5` for the weights alone. Received: "
            f"filepath={filepath!r}"
        )
    if smallest and not os.fspath(filepath).endswith(".keras"):
        raise ValueError(
            "`smallest` needs a path that ends in `.keras`, because HDF5 files do not support "
            f"bzip2. Received: filepath={filepath!r}"
        )
    return checked_place(pathlib.Path(filepath), overwrite)


def _bytes_of(model):
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer is not None else [])]
    return sum(math.prod(each.shape) * np.dtype(each.dtype).itemsize for each in variables)


def _write_weights(model, folder):
    stock, packed = folder / "stock.weights.h5", folder / "packed.weights.h5"
    model.save_weights(stock)
    pack(stock, packed)
    return packed


def _write_model(model, folder, smallest, detach):
    stock, packed = folder / "stock", folder / "packed.h5"
    model.save(stock, zipped=False)
    _write_config(stock / _CONFIG, detached if detach else with_hints)
    pack(stock / _WEIGHTS, packed)
    # The weights are compressed inside HDF5. Zip stores them uncompressed, for random access.
    forms = [_write_zip(folder / "deflate.keras", stock, packed, zipfile.ZIP_STORED)]
    if smallest:
        weights = stock / _WEIGHTS
        forms.append(_write_zip(folder / "bzip2.keras", stock, weights, zipfile.ZIP_BZIP2))
    return min(forms, key=_size_if_safe)


def _write_config(path, function):
    old = json.loads(path.read_text("utf-8"))
    new = function(old)
    if new != old:
        path.write_text(json.dumps(new), "utf-8")


def _write_zip(path, stock, weights, compression):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(stock.rglob("*")):
            name = file.relative_to(stock).as_posix()
            if name == _WEIGHTS:
                archive.write(weights, name, compression)
            elif file.is_file():
                is_large = file.stat().st_size > _BOMB_BYTES
                archive.write(file, name, zipfile.ZIP_STORED if is_large else zipfile.ZIP_DEFLATED)
    return path


def _size_if_safe(path):
    """Returns the size of an archive, or infinity if Keras would reject it."""
    with zipfile.ZipFile(path) as archive:
        weights = archive.getinfo(_WEIGHTS)
    is_bomb = (
        weights.file_size > _BOMB_BYTES
        and weights.file_size > _MAX_EXPANSION * weights.compress_size
    )
    return float("inf") if is_bomb else path.stat().st_size
