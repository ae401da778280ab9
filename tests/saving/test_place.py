"""The file comes into its place at one stroke, and nothing else is left anywhere."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import kerasreg
from kerasreg._saving import place


@pytest.fixture(scope="module")
def model():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(300, name="only")])


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for the temporary files of the system, apart from where tests save."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(place.tempfile, "tempdir", str(folder))
    return folder


def test_the_file_mode_is_kept(model, tmp_path):
    path = tmp_path / "model.keras"
    kerasreg.save(model, path)
    for mode in (0o600, 0o664, 0o444):
        path.chmod(mode)
        kerasreg.save(model, path)
        assert path.stat().st_mode & 0o777 == mode
    keras.models.load_model(path)


def test_the_longest_file_names_work(model, tmp_path):
    for end in (".keras", ".weights.h5"):
        kerasreg.save(model, tmp_path / ("n" * (255 - len(end)) + end))
    assert {len(name) for name in os.listdir(tmp_path)} == {255}
    with pytest.raises(OSError, match="too long"):
        kerasreg.save(model, tmp_path / ("n" * 250 + ".keras"))


def test_a_pipe_is_not_replaced(model, tmp_path):
    path = tmp_path / "pipe.keras"
    os.mkfifo(path)
    with pytest.raises(FileExistsError, match=r"which is neither a file nor a folder \(a pipe"):
        kerasreg.save(model, path)
    assert path.is_fifo()


def test_links(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("real")
    pathlib.Path("next.keras").symlink_to("real/next.keras")
    pathlib.Path("folder").symlink_to("real")
    for path in ("next.keras", "folder/other.keras", "./here.keras", "real/../there.keras"):
        kerasreg.save(model, path)
        keras.models.load_model(path)
    assert pathlib.Path("next.keras").is_symlink()
    assert sorted(os.listdir("real")) == ["next.keras", "other.keras"]


def test_a_read_only_folder_raises_before_any_work(model, tmp_path, monkeypatch):
    def refuse(*args, dir, **kwargs):
        raise PermissionError(13, "Permission denied", dir)

    monkeypatch.setattr(place.tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(model, "save", lambda *_, **__: pytest.fail("it was saved"))
    with pytest.raises(PermissionError, match=r"in a writable folder \(Permission"):
        kerasreg.save(model, tmp_path / "model.keras")


def test_another_file_system_and_one_that_is_full(model, tmp_path, temporary, monkeypatch):
    def is_other(source, target):
        source = pathlib.Path(source)
        if source.parent != pathlib.Path(target).parent:
            raise OSError(place.errno.EXDEV, "Invalid cross-device link")
        replace(source, target)

    replace = os.replace
    monkeypatch.setattr(place.os, "replace", is_other)
    path = tmp_path / "model.keras"
    kerasreg.save(model, path)
    keras.models.load_model(path)
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    before = path.read_bytes()

    copy = place.shutil.copyfileobj

    def is_full(source, target, *length):
        if isinstance(getattr(target, "name", ""), int):
            raise OSError(28, "No space left on device")
        copy(source, target, *length)

    with monkeypatch.context() as patch:
        patch.setattr(place.shutil, "copyfileobj", is_full)
        with pytest.raises(OSError, match="No space left"):
            kerasreg.save(model, path)
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["model.keras", "other", "temporary"]
    # Where the system has no room for temporary files, they are beside the file.
    made = []
    make = place.tempfile.TemporaryDirectory

    def watched(dir, **kwargs):
        made.append(dir)
        return make(dir=dir, **kwargs)

    sizes = {temporary: 10, tmp_path: 10**12}
    usage = type("Usage", (), {})
    usages = {each: usage() for each in sizes}
    for each, free in sizes.items():
        usages[each].free = free
    monkeypatch.setattr(place.shutil, "disk_usage", usages.get)
    monkeypatch.setattr(place.tempfile, "TemporaryDirectory", watched)
    kerasreg.save(model, path)
    assert made[0] == tmp_path
    assert not os.listdir(temporary)


_KILLED = """
import os, signal, sys, keras
import kerasreg._saving.save as saving, kerasreg
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(300)])
saving.pack = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
kerasreg.save(model, sys.argv[1])
"""


def test_files_of_a_killed_process_are_removed(model, tmp_path, temporary):
    path = tmp_path / "model.keras"
    kerasreg.save(model, path)
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _KILLED, str(path)],
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=240,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["model.keras", "temporary"]
    (left,) = temporary.iterdir()
    old = time.time() - 3600
    os.utime(left, (old, old))
    # One of a process that is alive stays, however old it is.
    with place.scratch(path, 1) as alive:
        os.utime(alive, (old, old))
        kerasreg.save(model, path)
        assert list(temporary.iterdir()) == [alive]
    assert not os.listdir(temporary)
    np.testing.assert_array_equal(
        keras.models.load_model(path).get_weights()[0], model.get_weights()[0]
    )
