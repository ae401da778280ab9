"""Writing of scalars to TensorBoard event files, one record per step."""

import os
import time
from pathlib import Path

import keras
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.scalar.metadata import create_summary_metadata


class ScalarWriter:
    """Writes scalars to a run folder, or to the open event file of Keras' `TensorBoard` callback.

    Args:
        run_dir: the folder of the run; it is created if it does not exist.
        callback: a `keras.callbacks.TensorBoard` that writes to the same folder, or None. Both
            share one file, because TensorBoard's slow loader reads only one file per run.

    Raises:
        ValueError: if the folder cannot be created or is not writable.
    """

    def __init__(self, run_dir, callback=None):
        self._run_dir = str(run_dir)
        self._callback = callback
        self._writer = None
        self._described = set()
        _require_writable(self._run_dir)

    def write(self, scalars, step):
        """Writes `{tag: number}` for a step."""
        summary = Summary()
        for tag, number in scalars.items():
            value = summary.value.add(tag=tag, simple_value=float(number))
            if tag not in self._described:
                value.metadata.CopyFrom(create_summary_metadata(display_name="", description=""))
                self._described.add(tag)
        shared = getattr(self._callback, "_train_writer", None)
        if shared is not None:
            _write_shared(shared, summary, step)
            return
        if self._writer is None:
            self._writer = _event_file_writer(self._run_dir)
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()

    def close(self):
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _write_shared(writer, summary, step):
    import tensorflow as tf

    # The callback limits how often summaries are recorded; this does not apply here.
    with writer.as_default(step), tf.summary.record_if(True):
        tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=step)
    writer.flush()


def _event_file_writer(run_dir):
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    return EventFileWriter(run_dir)


def _require_writable(run_dir):
    # TensorBoard opens remote folders (gs://, s3://).
    if "://" in run_dir:
        return
    try:
        Path(run_dir).mkdir(parents=True, exist_ok=True)
        probe = Path(run_dir) / f".kerasreg-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"`log_dir` must be a writable folder. Received: {run_dir!r} "
            f"({error.strerror}). Pass another `log_dir`."
        ) from error


def shared_callback(callbacks, log_dir=None):
    """Returns Keras' `TensorBoard` callback that writes to `log_dir` (None: any), or None."""
    for each in callbacks:
        if isinstance(each, keras.callbacks.TensorBoard) and (
            log_dir is None or os.path.abspath(each.log_dir) == os.path.abspath(log_dir)
        ):
            return each
    return None
