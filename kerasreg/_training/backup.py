"""Saves the removed units with the backup of a run, so that the run can be resumed."""

import contextlib
import os
from collections import Counter

import h5py
import keras
import numpy as np

from kerasreg._common.warn import warn
from kerasreg._shrinking.training.reduce import without
from kerasreg._train_step import UpdateHook

_NAME = "kerasreg_removed.npz"
#: The weight files of the backup, newest first.
_WEIGHTS = ("latest.weights.h5", "latest.weights.h5.bkp")


class Backup:
    """Adds the removed units to the backup of `keras.callbacks.BackupAndRestore`.

    `BackupAndRestore` saves weights and the epoch, but not the architecture. Without such a
    callback, nothing is saved.

    Args:
        callbacks: list of the callbacks of the run, including nested ones.
    """

    def __init__(self, callbacks):
        found = [each for each in callbacks if isinstance(each, keras.callbacks.BackupAndRestore)]
        self.callback = found[0] if found else None
        self._removed = []

    def add(self, epoch, labels):
        """Saves the labels that are removed before an epoch.

        Args:
            epoch: int, the first epoch of the smaller model.
            labels: bool array by root label, see `silent_labels`.
        """
        self._removed.append((epoch, labels))
        if self.callback is None:
            return
        os.makedirs(self.callback.backup_dir, exist_ok=True)
        arrays = {f"{n}_{epoch}": labels for n, (epoch, labels) in enumerate(self._removed)}
        # `os.replace` is atomic: an interrupted run has either the old file or the new one.
        with open(self._path(_NAME + ".new"), "wb") as file:
            np.savez_compressed(file, **arrays)
        os.replace(self._path(_NAME + ".new"), self._path(_NAME))

    def restore(self, model):
        """Returns `(model, epoch)` of an interrupted run, or None if there is none.

        The model has the architecture, the weights and the optimizer state of the backup.

        Args:
            model: the model that was passed to `fit_and_shrink`, in its original size.
        """
        self._removed = self._read()
        if not self._removed:
            return None
        models = [model]
        for _, labels in self._removed:
            models.append(without(models[-1], labels, {}))
        saved = self._saved_shapes()
        for number, each in enumerate(models):
            if not Counter(tuple(v.shape) for v in each.weights) - saved:
                self._load(each)
                epoch = each._initial_epoch or 0
                return self._finish(each, number, epoch), epoch
        warn(
            f"The backup in '{self.callback.backup_dir}' does not match '{model.name}', so the run "
            "is not resumed. Use a different `backup_dir` for each model."
        )
        self._removed = []
        return None

    def _finish(self, model, number, epoch):
        """Returns the model without the units removed after the backup and before this epoch."""
        due = [labels for begin, labels in self._removed[number:] if begin <= epoch]
        for labels in due:
            state = dict(UpdateHook.of(model.optimizer).state.restored)
            model = without(model, labels, state)
        self._removed = self._removed[: number + len(due)]
        return model

    def _load(self, model):
        # The hook must exist before the weights are loaded: its state is loaded with them.
        UpdateHook.of(model.optimizer)
        self.callback.set_model(model)
        self.callback.on_train_begin()

    def _saved_shapes(self):
        """Returns the number of arrays of each shape in the backup.

        It reads the second file if the first one is unreadable, as Keras does.
        """
        shapes = Counter()
        for name in _WEIGHTS:
            with contextlib.suppress(OSError), h5py.File(self._path(name)) as file:
                file.visititems(lambda _, each: shapes.update(_shape(each)))
                return shapes
        return shapes

    def _path(self, name):
        return os.path.join(os.fspath(self.callback.backup_dir), name)

    def _read(self):
        if self.callback is None:
            return []
        path = self._path(_NAME)
        if not os.path.exists(path):
            return []
        with np.load(path) as arrays:
            names = sorted(arrays, key=lambda name: int(name.partition("_")[0]))
            return [(int(name.partition("_")[2]), arrays[name]) for name in names]


def _shape(item):
    return [tuple(item.shape)] if isinstance(item, h5py.Dataset) else []
