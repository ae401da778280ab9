"""Writes a file atomically: it replaces the old one only when it is complete."""

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
except ImportError:  # There is none on Windows: what a killed process left stays there.
    fcntl = None  # type: ignore[assignment]

_PREFIX = ".kerasreg-"
_LOCK = "lock"
# So old that whoever made it has locked it, if it is alive.
_SECONDS = 60


def checked_place(path: pathlib.Path, overwrite: bool) -> pathlib.Path:
    """Returns the path to replace, with links resolved, or raises before any work is done."""
    # A link stays a link: what it leads to is replaced.
    path = pathlib.Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"`path` must be in a folder that exists. Received: path='{path}'. Make it first."
        )
    if path.exists() and not (overwrite and path.is_file()):
        kinds = {path.is_dir(): "a folder", path.is_file(): "a file"}
        raise FileExistsError(
            f"`path` must be free, or a file with overwrite=True. Received: path='{path}', where "
            f"there is {kinds.get(True, 'something else (a pipe, a device)')}."
        )
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise type(error)(
            error.errno,
            f"`path` must be in a folder in which you may write ({error.strerror})",
            str(path.parent),
        ) from error
    return path


@contextlib.contextmanager
def scratch(path: pathlib.Path, size: int) -> Iterator[pathlib.Path]:
    """Creates a temporary folder next to the file, and removes it afterwards.

    It is among the temporary files of the system, or beside `path` where there is no room for
    `size` bytes. What a killed process has left in these places goes, too.
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
    """Copies from another file system: only a copy next to `path` can replace it atomically."""
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
