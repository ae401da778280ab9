"""Event files, read with the reader of TensorBoard."""

from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read(run_dir):
    """Returns `{tag: [(step, value)]}` of the scalars that kerasreg writes."""
    events = EventAccumulator(str(run_dir), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def stock_tags(run_dir):
    """Returns the tags that `keras.callbacks.TensorBoard` writes."""
    return EventAccumulator(str(run_dir)).Reload().Tags()["tensors"]


def event_files(run_dir):
    return list(Path(run_dir).glob("events.out.tfevents.*"))


def by_numpy(weights):
    """Returns the scalars that must be written for `{path: array}`."""
    expected = {}
    for path, w in [*weights.items(), ("", np.concatenate([w.ravel() for w in weights.values()]))]:
        w = w.astype("float64")
        numbers = {
            "zeros": np.sum(w == 0),
            "sparsity": np.mean(w == 0),
            "l1": np.sum(np.abs(w)),
            "l2": np.sqrt(np.sum(w**2)),
            "max": np.max(np.abs(w)),
            "nonfinite": np.sum(~np.isfinite(w)),
        }
        if w.ndim == 2:
            numbers["dead_units"] = np.sum((w == 0).all(0))
            numbers["dead_inputs"] = np.sum((w == 0).all(1))
        for name, number in numbers.items():
            expected[f"{name}/{path}" if path else f"total/{name}"] = number
    expected["total/sparsity_of_all"] = expected["total/sparsity"]
    for name in ("dead_units", "dead_inputs"):
        parts = [number for tag, number in expected.items() if tag.startswith(f"{name}/")]
        expected[f"total/{name}"] = sum(parts)
    return expected
