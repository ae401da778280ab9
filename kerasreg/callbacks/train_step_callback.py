"""What callbacks have in common that put something into the compiled train step."""

import contextlib
from collections.abc import Iterator

import keras

from kerasreg._common.texts import listed
from kerasreg._common.warn import noted, warn
from kerasreg._statistics.statistics import nonfinite_paths
from kerasreg._train_step import FitScope, UpdateHook


@contextlib.contextmanager
def ending(callback: keras.callbacks.Callback, task: str) -> Iterator[None]:
    """Make what fails in `on_train_end` a warning: Keras returns no `History` past an exception.

    One rule for all callbacks: what makes a training wrong is an error as early as it can be known,
    in the first batches or at the end of an epoch. When the fit is over, nothing is an error.

    Args:
        callback: whose `on_train_end` it is.
        task: what it does there, for the warning: "could not ...".
    """
    try:
        yield
    except Exception as error:
        warn(
            f"`{type(callback).__name__}` could not {task} when the fit ended. The training itself "
            f"is complete. {type(error).__name__}: {error}",
            RuntimeWarning,
        )


class TrainStepCallback(keras.callbacks.Callback):
    """A callback with an `UpdateHook` in the optimizer, from `set_model` on.

    When a fit begins, it calls `begin_looking`, and at the end of every epoch `require_coverage`.
    """

    #: The `Coverage` of the present fit.
    coverage = None
    _batches = 0

    def begin_looking(self, coverage):
        """Look after the first batch whether the steps have ours in them, and ever more seldom."""
        self.coverage, self._batches = coverage, 0

    @property
    def needs_hook(self):
        """Whether it uses the hook at all."""
        return True

    def set_model(self, model):
        super().set_model(model)
        # Before any `on_train_begin`: BackupAndRestore may load our state there, in any order.
        if self.needs_hook and getattr(model, "optimizer", None) is not None:
            UpdateHook.of(model.optimizer)

    def on_test_end(self, logs=None):
        self.release_unused()

    def on_predict_end(self, logs=None):
        self.release_unused()

    def release_unused(self):
        """Forget the hook if nothing is in it: `evaluate` and `predict` take callbacks too."""
        if self.needs_hook and getattr(self.model, "optimizer", None) is not None:
            UpdateHook.of(self.model.optimizer).release()

    def require_known_variables(self):
        """Raise a `ValueError` where Keras' train step would meet variables it cannot train."""
        model = self.model
        is_built = getattr(model.optimizer, "built", False)
        if is_built and type(model).train_step is keras.Model.train_step:
            UpdateHook.of(model.optimizer).require_known(model.trainable_variables)

    def warn_of_nonfinite(self, variables, epoch):
        """Warn at the end of an epoch if weights are NaN or infinite."""
        broken = []
        with noted("The search for NaN and infinite weights"):
            broken = nonfinite_paths(variables)
        if broken:
            warn(
                f"NaN or infinite weights after epoch {epoch + 1} in {listed(broken)}. Lower the "
                "learning rate, clip gradients (`clipnorm`), or restore an earlier checkpoint.",
                RuntimeWarning,
            )

    def on_train_batch_begin(self, batch, logs=None):
        # Batches end in a thread of their own, if all callbacks allow it; here is the main one.
        if self._batches and self.coverage.is_time():
            _ = self.model  # On JAX, this brings the state of training into the variables.
            with self.undone_by_errors():
                self.coverage.look()
        self._batches += self.coverage is not None

    def require_coverage(self):
        """Raise at the end of an epoch if weights were trained without ours, or none were."""
        with self.undone_by_errors():
            self.coverage.look_back(strict=False)
            if self._batches:
                self.coverage.require_advanced(
                    f"'{self.model.name}', with a train step that does not. `fit` needs one that "
                    "applies the optimizer of `compile`."
                )

    @contextlib.contextmanager
    def undone_by_errors(self):
        """Where Keras will not get as far as `on_train_end`, leave the model as it was."""
        try:
            yield
        except (RuntimeError, ValueError):
            FitScope.of(self.model).abandon()
            self.release_unused()
            raise
