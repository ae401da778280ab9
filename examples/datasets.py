"""The datasets of the examples: small, real, and if possible already on your disk."""

import argparse
import gzip
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


@dataclass(frozen=True)
class Dataset:
    """Images as rows of pixels from 0 to 1, and their classes.

    Attributes:
        title: the name of the dataset.
        source: where it was loaded from.
        image_shape: `(height, width)`; a row of `x_train` or `x_test` is such an image.
        x_train, y_train, x_test, y_test: float32 `(images, pixels)` and int `(images,)`.
    """

    title: str
    source: str
    image_shape: tuple[int, int]
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load(name: str, folder: str | None = None) -> Dataset:
    """Load `"digits"` or `"fashion_mnist"`; only the latter looks into `folder`."""
    return digits() if name == "digits" else fashion_mnist(folder)


def add_arguments(parser: argparse.ArgumentParser, names: Iterable[str]):
    """Add the arguments that choose one of these datasets, for `load_chosen`."""
    parser.add_argument("--data", choices=sorted(names), default="digits")
    parser.add_argument("--folder", help="the folder with the files of Fashion-MNIST")


def load_chosen(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Dataset:
    """Load the chosen dataset, or exit with a message that says what to do."""
    if arguments.folder and arguments.data != "fashion_mnist":
        parser.error("--folder needs --data fashion_mnist")
    try:
        return load(arguments.data, arguments.folder)
    except FileNotFoundError as error:
        sys.exit(str(error))


def digits() -> Dataset:
    """The 1,797 handwritten digits of 8x8 pixels that are part of scikit-learn."""
    images, classes = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        images, classes, test_size=0.25, random_state=0, stratify=classes
    )
    return Dataset(
        title="Digits",
        source="sklearn.datasets",
        image_shape=(8, 8),
        x_train=_pixels(x_train, brightest=16),
        y_train=y_train,
        x_test=_pixels(x_test, brightest=16),
        y_test=y_test,
    )


def fashion_mnist(folder: str | None = None) -> Dataset:
    """Fashion-MNIST: 70,000 pictures of clothes, 28x28 pixels (Xiao, Rasul & Vollgraf, 2017).

    Args:
        folder: a folder with its four files. Default: the environment variable FASHION_MNIST,
            then that of Debian's package, then Keras, which downloads.

    Raises:
        FileNotFoundError: if there is no data; the message lists the ways to get it.
    """
    folder = folder or os.environ.get("FASHION_MNIST")
    if folder:
        source, arrays = folder, _read_folder(Path(folder))
    elif DEBIAN.is_dir():
        source, arrays = f"{DEBIAN} (Debian's package)", _read_folder(DEBIAN)
    else:
        source, arrays = "keras.datasets, which downloads it once", _download()
    x_train, y_train, x_test, y_test = arrays
    return Dataset(
        title="Fashion-MNIST",
        source=source,
        image_shape=(28, 28),
        x_train=_pixels(x_train, brightest=255),
        y_train=y_train,
        x_test=_pixels(x_test, brightest=255),
        y_test=y_test,
    )


def _pixels(images, brightest):
    return (images.reshape(len(images), -1) / brightest).astype("float32")


def _read_folder(folder):
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise _not_found(f"{folder} has no {', '.join(missing)}")
    return [_read_idx(folder / name) for name in FILES]


def _read_idx(path):
    """An array in the IDX format: 2 zeros, type, rank, the shape as 32-bit integers, the data."""
    data = gzip.decompress(path.read_bytes())
    rank = data[3]
    shape = np.frombuffer(data, ">i4", count=rank, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def _download():
    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
    except Exception as error:  # Keras raises a plain Exception where it cannot download.
        raise _not_found(error) from error
    return x_train, y_train, x_test, y_test


def _not_found(reason):
    return FileNotFoundError(
        f"Fashion-MNIST was not found: {reason}.\nThree ways to get it:\n"
        "  1. set FASHION_MNIST=FOLDER, or pass --folder FOLDER, with the four files\n"
        f"     {' '.join(FILES)}\n"
        "  2. on Debian or Ubuntu: apt install dataset-fashion-mnist\n"
        "  3. connect to the internet once: Keras downloads it to ~/.keras/datasets"
    )
