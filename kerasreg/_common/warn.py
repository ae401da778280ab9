"""Warnings that point at the line of the user's own code."""

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
    """Warn at the innermost line outside of kerasreg, Keras and the backends.

    Most callbacks of ours are called by Keras, and a warning that points into Keras does not say
    which `fit` it is about.

    Args:
        message: the text.
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
    """A warning in place of any exception inside: advice and logs never stop a training.

    Args:
        what: that failed, as the subject of a sentence.
        told: a set of those that were warned about already; this one is added.
    """
    try:
        yield
    except Warning:
        # Who turns warnings into errors wants them.
        raise
    except Exception as error:
        is_new = told is None or what not in told
        if told is not None:
            told.add(what)
        if is_new:
            reason = f"{type(error).__name__}: {error}"
            warn(f"{what} failed, and the training goes on without it. {reason}", RuntimeWarning)


def _users_frame():
    innermost = frame = sys._getframe(1)
    while frame is not None and _is_library(frame):
        innermost, frame = frame, frame.f_back
    # Everything is a library's where a test of Keras runs our callbacks, or in another thread.
    return innermost if frame is None else frame


def _is_library(frame):
    package = (frame.f_globals.get("__name__") or "").partition(".")[0]
    return package in _LIBRARIES or package.startswith("__autograph_generated")
