"""Atomic writing of files: a new file replaces the old one only when it is complete."""

import contextlib
import errno
import os
import pathlib
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Not available on Windows: files of killed processes are not removed there.
    fcntl = None  # type: ignore[assignment]

_PREFIX = ".kerasreg-"
_LOCK = "lock"
# Younger files may not be locked yet by the process that created them.
_SECONDS = 60


def checked_place(path: pathlib.Path, overwrite: bool) -> pathlib.Path:
    """Returns the path to replace, with links resolved.

    Raises:
        FileNotFoundError: if the folder does not exist.
        FileExistsError: if the path may not be replaced.
        OSError: if the folder is not writable.
    """
    # A link is kept, and the file to which it points is replaced.
    path = pathlib.Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"`path` must be in an existing folder. Received: path='{path}'. Create the folder."
        )
    if path.exists() and not (overwrite and path.is_file()):
        kinds = {path.is_dir(): "a folder", path.is_file(): "a file"}
        raise FileExistsError(
            f"`path` must not exist, or be a file with overwrite=True. Received: path='{path}', "
            f"which is {kinds.get(True, 'neither a file nor a folder (a pipe, a device)')}."
        )
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise type(error)(
            error.errno,
            f"`path` must be in a writable folder ({error.strerror})",
            str(path.parent),
        ) from error
    return path


@contextlib.contextmanager
def scratch(path: pathlib.Path, size: int) -> Iterator[pathlib.Path]:
    """A context with a temporary folder, which is removed at the end.

    The folder is in the system's temporary folder, or next to `path` if there are less than `size`
    free bytes. Files of killed processes in these places are removed.
    """
    places = [path.parent]
    with contextlib.suppress(OSError):
        places.insert(0, pathlib.Path(tempfile.gettempdir()))
    for place in places:
        _clear(place)
    roomy = [place for place in places if shutil.disk_usage(place).free > size]
    with (
        tempfile.TemporaryDirectory(dir=(roomy or places)[0], prefix=_PREFIX) as folder,
        open(os.path.join(folder, _LOCK), "w") as lock,
    ):
        _lock(lock.fileno())
        yield pathlib.Path(folder)


def put_in_place(file: pathlib.Path, path: pathlib.Path) -> None:
    """Replaces `path` with `file` atomically, and keeps the mode of an existing file."""
    if path.exists():
        file.chmod(stat.S_IMODE(path.stat().st_mode))
    try:
        os.replace(file, path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_in_place(file, path)


def _copy_in_place(file, path):
    """Replaces `path` with a file of another file system, by a copy next to `path`."""
    number, copy = tempfile.mkstemp(dir=path.parent, prefix=_PREFIX)
    try:
        with open(number, "wb") as target, file.open("rb") as source:
            _lock(number)
            shutil.copyfileobj(source, target)
        shutil.copymode(file, copy)
        os.replace(copy, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(copy)
        raise


def _clear(folder):
    """Removes the files of killed processes."""
    for left in folder.glob(f"{_PREFIX}*") if fcntl is not None else ():
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _SECONDS and not _is_locked(left):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _is_locked(left):
    with open(left / _LOCK if left.is_dir() else left, "r+b") as file:
        return not _lock(file.fileno())


def _lock(number):
    """Locks a file. Returns whether this process holds the lock."""
    try:
        if fcntl is not None:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
