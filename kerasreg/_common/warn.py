"""Warnings that point to a line of the user's code."""

import contextlib
import sys
import warnings
from collections.abc import Iterator

# Python 3.12 has `skip_file_prefixes` for this; 3.11 does not.
_LIBRARIES = frozenset(
    (
        *("kerasreg", "keras", "tensorflow", "jax", "jaxlib", "torch", "absl", "wrapt", "optree"),
        *("concurrent", "contextlib", "functools", "importlib", "threading"),
    )
)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the innermost line outside kerasreg, Keras and the backends.

    Callbacks are called by Keras, and a warning that points into Keras does not show which `fit` it
    refers to.

    Args:
        message: the text of the warning.
        category: the class of the warning.
    """
    frame = _users_frame()
    warnings.warn_explicit(
        message,
        category,
        filename=frame.f_code.co_filename,
        lineno=frame.f_lineno,
        module=frame.f_globals.get("__name__") or "<unknown>",
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


@contextlib.contextmanager
def noted(what: str, told: set[str] | None = None) -> Iterator[None]:
    """Turns exceptions inside the context into warnings: advice and logs never stop a training.

    Args:
        what: the task that may fail, as the subject of a sentence.
        told: the tasks that were warned about already; they are not warned about again.
    """
    try:
        yield
    except Warning:
        # The user has turned warnings into errors.
        raise
    except Exception as error:
        is_new = told is None or what not in told
        if told is not None:
            told.add(what)
        if is_new:
            reason = f"{type(error).__name__}: {error}"
            warn(f"{what} failed; the training continues without it. {reason}", RuntimeWarning)


def _users_frame():
    innermost = frame = sys._getframe(1)
    while frame is not None and _is_library(frame):
        innermost, frame = frame, frame.f_back
    # All frames are of libraries in another thread, or in a test of Keras.
    return innermost if frame is None else frame


def _is_library(frame):
    package = (frame.f_globals.get("__name__") or "").partition(".")[0]
    return package in _LIBRARIES or package.startswith("__autograph_generated")
