"""The base class of callbacks that drive a `Session` in the compiled train step."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from kerasreg._common.texts import listed
from kerasreg._common.types import Logs
from kerasreg._common.warn import noted, warn
from kerasreg._statistics.statistics import nonfinite_paths
from kerasreg._train_step import FitScope, Session, UpdateHook


@contextlib.contextmanager
def ending(callback: keras.callbacks.Callback, task: str) -> Iterator[None]:
    """Turns exceptions inside `on_train_end` into warnings, so that `fit` returns its `History`.

    This is one rule for all callbacks: what makes a training wrong is an error as early as
    possible, in the first batches or at the end of an epoch. At the end of the fit, nothing is an
    error.

    Args:
        callback: the callback that is ending.
        task: what it does, for the warning "could not {task} when the fit ended".
    """
    try:
        yield
    except Exception as error:
        warn(
            f"`{type(callback).__name__}` could not {task} when the fit ended. The training itself "
            f"is complete. {type(error).__name__}: {error}",
            RuntimeWarning,
        )


class SessionCallback(keras.callbacks.Callback):
    """A callback that drives a `Session` through a fit.

    It calls `enter` in `on_train_begin`, `start_once` in `on_epoch_begin`, `check` in
    `on_epoch_end`, and `leave` in `on_train_end`.
    """

    #: Whether it has updates in the optimizer, whose state is saved in checkpoints.
    has_updates = True
    #: The `Session` of the last fit.
    _session: Any = None
    _is_started = False
    _batches = 0

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        # Before any `on_train_begin`, where BackupAndRestore may load the state of the updates.
        if self.has_updates and getattr(model, "optimizer", None) is not None:
            UpdateHook.of(model.optimizer)

    def on_test_end(self, logs: Logs = None) -> None:
        self._release_hook()

    def on_predict_end(self, logs: Logs = None) -> None:
        self._release_hook()

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        if not self._is_started:
            return
        # `on_train_batch_end` may run in another thread, but this method runs in the main one.
        if self._batches and self._session.coverage.is_time():
            self.synchronize()
            with self.undone_by_errors():
                self._session.coverage.look()
        self._batches += 1

    def enter(self, make_session: Callable[[FitScope], Session]) -> None:
        """Enters the train step with the session that `make_session(scope)` returns."""
        scope = FitScope.of(self.model)
        self._is_started, self._batches = False, 0
        with self.undone_by_errors():
            self._session = make_session(scope)
            self._session.enter()

    def start_once(self, *arguments: Any) -> bool:
        """Starts the session in the first epoch of the fit. Returns whether it did."""
        if self._is_started:
            return False
        with self.undone_by_errors():
            self._session.start(*arguments)
        self._is_started = True
        return True

    def check(self) -> None:
        """Raises at the end of an epoch if the updates of the session were not applied.

        If only some optimizer updates were made without them, it warns.
        """
        coverage = self._session.coverage
        with self.undone_by_errors():
            self._session.require_entered()
            coverage.look_back(strict=False)
            if self._batches:
                coverage.require_advanced(
                    f"'{self.model.name}', with a train step that does not. `fit` needs one that "
                    "applies the optimizer of `compile`."
                )

    def leave(self) -> None:
        """Leaves the train step."""
        self._session.leave()

    def begin_shrinking(self, model: keras.Model) -> None:
        """Called by `fit_and_shrink` before training, to store the sizes of the original model.

        Afterwards it calls `leave_model` and `enter_model` for each smaller model,
        `set_restored_model` if the weights of an earlier model are restored at the end of
        training, and `end_shrinking` last.
        """

    def leave_model(self) -> None:
        """Leaves the train step of a model, before training continues with a smaller one."""
        self._session.leave()

    def enter_model(self) -> None:
        """Enters the train step of the smaller model, which has the state of the previous model."""
        self.enter(self._make_session)

    def set_restored_model(self) -> None:
        """Called if another callback restores the weights of an earlier model at the end.

        `self.model` is that model. `on_train_end` is called afterwards.
        """
        self._session.leave()

    def end_shrinking(self) -> None:
        """Called at the end of `fit_and_shrink`, also if an error was raised."""

    def _make_session(self, scope: FitScope) -> Session:
        raise NotImplementedError

    def synchronize(self) -> None:
        """Copies the training state into the variables: on JAX, reading `self.model` does this."""
        _ = self.model

    def warn_of_nonfinite(self, epoch: int) -> None:
        """Warns at the end of an epoch if weights of the session are NaN or infinite."""
        broken = []
        with noted("The search for NaN and infinite weights"):
            broken = nonfinite_paths(self._session.variables)
        if broken:
            warn(
                f"NaN or infinite weights after epoch {epoch + 1} in {listed(broken)}. Lower the "
                "learning rate, clip gradients (`clipnorm`), or restore an earlier checkpoint.",
                RuntimeWarning,
            )

    def require_known_variables(self) -> None:
        """Raises a `ValueError` if the optimizer was built without some trainable variables."""
        model = self.model
        is_built = getattr(model.optimizer, "built", False)
        if is_built and type(model).train_step is keras.Model.train_step:
            UpdateHook.of(model.optimizer).require_known(model.trainable_variables)

    @contextlib.contextmanager
    def undone_by_errors(self) -> Iterator[None]:
        """Leaves the train step on exceptions, because Keras then skips `on_train_end`."""
        try:
            yield
        except (RuntimeError, ValueError):
            FitScope.of(self.model).abandon()
            self._release_hook()
            raise

    def _release_hook(self):
        """Removes the hook if it has no updates: `evaluate` and `predict` take callbacks too."""
        if self.has_updates and getattr(self.model, "optimizer", None) is not None:
            UpdateHook.of(self.model.optimizer).release()
