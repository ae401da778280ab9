"""The examples of docstrings, the README and the guides run."""

import doctest
import importlib
import pathlib
import pkgutil
import re

import keras
import numpy as np
import pytest

import kerasreg

MODULES = [module.name for module in pkgutil.walk_packages(kerasreg.__path__, "kerasreg.")]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"keras": keras, "kerasreg": kerasreg, "np": np, "tmp_path": tmp_path}
    results = doctest.testmod(importlib.import_module(name), extraglobs=namespace)
    assert results.failed == 0


#: Classes that users receive and do not create: functions that return them have the examples.
RECEIVED = [
    *(getattr(kerasreg.results, name) for name in kerasreg.results.__all__),
    *(kerasreg.shrinking.Analysis, kerasreg.shrinking.Call, kerasreg.shrinking.Reader),
    kerasreg.regularizers.Regularizer,
]


@pytest.mark.parametrize("name", kerasreg.__all__)
def test_every_public_function_has_an_example(name):
    member = getattr(kerasreg, name)
    members = (
        [getattr(member, each) for each in member.__all__]
        if hasattr(member, "__all__")
        else [member]
    )
    for each in members:
        assert each in RECEIVED or ">>>" in each.__doc__, each


ROOT = pathlib.Path(__file__).parents[1]


def run_blocks(name, namespace, capsys):
    """Runs the Python blocks of a page. A text block right after one is its expected output."""
    page = (ROOT / name).read_text()
    for code, output in re.findall(
        r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", page, flags=re.DOTALL
    ):
        capsys.readouterr()
        exec(code, namespace)
        if output:
            assert capsys.readouterr().out == output


def test_the_examples_of_the_readme_run(tmp_path, monkeypatch, capsys):
    """They print the outputs that the page shows. Random images replace Fashion-MNIST."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (64, 28, 28)).astype("uint8"), rng.integers(0, 10, 64)
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", lambda: (images, images))
    namespace = {}
    run_blocks("README.md", namespace, capsys)
    report, small = namespace["report"], namespace["small"]
    assert [layer.after[-1] for layer in report.layers if layer.kind == "Conv2D"] == [16, 16]
    assert keras.models.load_model("small.keras").count_params() == small.count_params()


def test_links_point_to_existing_files_and_headings():
    pages = {path: path.read_text() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))}
    found = 0
    for path, text in pages.items():
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            file, _, anchor = link.partition("#")
            if ":" in file:
                continue
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), f"{path.name}: {link}"
            found += 1
            if anchor:
                headings = re.findall(r"^#+ (.*)$", pages[target], flags=re.MULTILINE)
                slugs = [
                    re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings
                ]
                assert anchor in slugs, f"{path.name}: {link}"
    assert found > 30


@pytest.mark.parametrize(
    "page",
    [
        *("docs/penalties.md", "docs/pruning.md", "docs/training.md", "docs/saving.md"),
        *("docs/coupled.md", "docs/shrinking.md", "docs/logging.md"),
        "docs/training_that_shrinks.md",
    ],
)
@pytest.mark.filterwarnings("ignore:PenaltySchedule ended")  # Its ramp is longer than the fit.
def test_the_examples_of_a_guide_run(page, capsys, tmp_path, monkeypatch):
    """All blocks run in order, on one small model."""
    monkeypatch.chdir(tmp_path)
    layer = keras.layers.Dense(1, kernel_regularizer=kerasreg.regularizers.L1(0.1))
    model = keras.Sequential([keras.Input((10,)), layer])
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 10)).astype("float32"), rng.normal(size=(64, 1))
    namespace = {"keras": keras, "kerasreg": kerasreg, "np": np}
    namespace |= {"model": model, "x": x, "y": y}
    run_blocks(page, namespace, capsys)
    if "Huberized" in namespace:
        penalty = namespace["Huberized"](0.5)
        weights = np.array([0.5, 3.0, -1.1], "float32")
        assert float(penalty(weights)) == pytest.approx(0.5 * 2.1)
        prox = keras.ops.convert_to_numpy(penalty.prox(weights, 1.0))
        np.testing.assert_allclose(prox, [0.5, 2.5, -1.0])


#: The sections of the guide that prune, and the expected sparsity of the first kernel.
MIGRATION = {
    "A whole model": 0.8,
    "Schedules, argument by argument": 0.6,
    "Some layers": 0.5,
    "Custom layers": 0.5,
    "Custom training loops": 0.5,
    "Pretrained weights": 0.5,
    "Checkpoint and resume": 0.9,
    "2:4": 0.4,  # The last 2 of 10 inputs form a group that is filled up with 2 zeros.
    "Blocks": 0.5,
    "`PruningSummaries`": 0.5,
}


def test_the_examples_of_the_tfmot_guide_reach_their_sparsities(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 10)).astype("float32"), rng.normal(size=(64, 1))
    namespace, found = {"x": x, "y": y}, {}
    page = (ROOT / "docs/migrating_from_tfmot.md").read_text()
    for section in page.split("\n## "):
        title = section.splitlines()[0]
        for block in re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL):
            exec(block, namespace)
        if title in MIGRATION:
            found[title] = np.mean(namespace["model"].get_weights()[0] == 0)
    assert found == pytest.approx(MIGRATION)

    lines = []
    kerasreg.callbacks.Pruning(0.8).plan(namespace["build"](), steps=1000, print_fn=lines.append)
    assert f"```text\n{lines[0].strip()}\n```" in page


def test_the_penalties_guide_names_every_penalty_and_constraint():
    page = (ROOT / "docs/penalties.md").read_text()
    for name in {*kerasreg.regularizers.__all__, *kerasreg.constraints.__all__}:
        assert f"`{name}`" in page or name in ("Regularizer", "Projection"), name
