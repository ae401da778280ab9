"""Save a model so that zeros take almost no room."""

import os
import pathlib
import tempfile
import zipfile

import keras

from kerasreg.saving.packing import pack

_WEIGHTS = "model.weights.h5"
# Keras takes what is packed more than this for a decompression bomb, in files from 256 MiB.
_MAX_EXPANSION = 100
_BOMB_BYTES = 2**28


def save(model, path, overwrite=True, smallest=False):
    """Save a model as `model.save` does, in a file in which zeros cost almost nothing.

    The file holds all that Keras' own holds, bit by bit: the weights, the state of the optimizer,
    how the model was compiled, assets. Stock Keras opens it: `keras.models.load_model(path)` needs
    no kerasreg. With 90 % zeros at random places 2/15 of the bytes of Keras' file are left, of
    dense weights 5/6. It is written beside `path` and then renamed: when saving fails or is
    killed, the old file is still there, whole.

    Args:
        model: a built Keras model.
        path: a string or `pathlib.Path` that ends in `.keras`, or in `.weights.h5` for the weights
            alone, as `model.save_weights` has them. In its folder there must be room for the
            unpacked file too.
        overwrite: whether a file that is there may be replaced.
        smallest: try bzip2 as well, and keep what is smaller: a ninth with 90 % zeros. Loading
            takes two to five times as long, and `load_weights` from such a `.keras` file, which
            unpacks it again and again, ten times and more. Only for `.keras`.

    Raises:
        ValueError: for an unbuilt model, a path of another kind, or `smallest` with `.weights.h5`.
        FileExistsError: where a file is that may not be replaced. (Keras asks at the prompt.)
        FileNotFoundError: for a folder that does not exist.

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
    path = _checked(path, overwrite, smallest)
    write = _write_weights if path.name.endswith(".h5") else _write_model
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        os.replace(write(model, pathlib.Path(folder), smallest), path)


def require_saveable(model, caller):
    """Raise a `ValueError` that says how to build, unless this is a built model."""
    if isinstance(model, keras.Model) and model.built:
        return
    received = f"'{model.name}', unbuilt" if isinstance(model, keras.Model) else repr(model)
    raise ValueError(
        f"`{caller}` needs a built Keras model. Received: {received}. Start the model with "
        "`keras.Input(shape)`, call `model.build(input_shape)`, or call it once on a batch."
    )


def _checked(path, overwrite, smallest):
    is_path = isinstance(path, str | os.PathLike)
    if not is_path or not os.fspath(path).endswith((".keras", ".weights.h5")):
        raise ValueError(
            "`path` must end in `.keras`, or in `.weights.h5` for the weights alone. Received: "
            f"path={path!r}"
        )
    if smallest and not os.fspath(path).endswith(".keras"):
        raise ValueError(
            "`smallest` needs a path that ends in `.keras`: `.weights.h5` has no room for bzip2. "
            f"Received: path={path!r}"
        )
    # A link stays a link: what it leads to is replaced.
    path = pathlib.Path(path).resolve()
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"`path` must be in a folder that exists. Received: path='{path}'. Make it first."
        )
    if path.exists() and (not overwrite or path.is_dir()):
        raise FileExistsError(
            f"`path` must be free, or a file with overwrite=True. Received: path='{path}', where "
            f"there is a {'folder' if path.is_dir() else 'file'}."
        )
    return path


def _write_weights(model, folder, smallest):
    stock, packed = folder / "stock.weights.h5", folder / "packed.weights.h5"
    model.save_weights(stock)
    pack(stock, packed)
    return packed


def _write_model(model, folder, smallest):
    stock, packed = folder / "stock", folder / "packed.h5"
    model.save(stock, zipped=False)
    pack(stock / _WEIGHTS, packed)
    # HDF5 has packed the weights. Stored, they can be read piece by piece, which a zip cannot do.
    forms = [_write_zip(folder / "deflate.keras", stock, packed, zipfile.ZIP_STORED)]
    if smallest:
        weights = stock / _WEIGHTS
        forms.append(_write_zip(folder / "bzip2.keras", stock, weights, zipfile.ZIP_BZIP2))
    return min(forms, key=_size_if_safe)


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
    """The size of an archive, infinite where Keras would refuse to open it."""
    with zipfile.ZipFile(path) as archive:
        weights = archive.getinfo(_WEIGHTS)
    is_bomb = (
        weights.file_size > _BOMB_BYTES
        and weights.file_size > _MAX_EXPANSION * weights.compress_size
    )
    return float("inf") if is_bomb else path.stat().st_size
