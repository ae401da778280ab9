"""The custom loops of `docs/loops.md`, each on its backend."""

import pathlib
import re

import keras
import numpy as np

import kerasreg

PAGE = pathlib.Path(__file__).parents[1] / "docs/loops.md"
#: The sections of the guide for each backend.
SECTIONS = {
    "tensorflow": ["TensorFlow", "Several optimizers (TensorFlow)"],
    "jax": ["JAX"],
    "torch": ["torch"],
}


def test_every_loop_of_the_guide_ends_with_exact_zeros():
    x = np.random.default_rng(0).normal(size=(64, 10)).astype("float32")
    namespace = {"keras": keras, "kerasreg": kerasreg, "x": x, "y": x[:, :1] - x[:, 1:2]}
    start, *sections = PAGE.read_text().split("\n## ")
    sections = {section.splitlines()[0]: section for section in sections}
    assert set(sections) == {title for titles in SECTIONS.values() for title in titles}
    for title in SECTIONS[keras.backend.backend()]:
        for block in re.findall(r"```python\n(.*?)```", start + sections[title], flags=re.DOTALL):
            exec(block, namespace)
        models = [namespace.get(name) for name in ("model", "first", "second")]
        models = [model for model in models if isinstance(model, keras.Sequential)]
        assert models
        for model in models:
            kernel = keras.ops.convert_to_numpy(model.layers[0].kernel)
            assert 0.1 < np.mean(kernel == 0) < 1.0, title
            assert isinstance(model.layers[0].kernel.regularizer, keras.regularizers.L1)
