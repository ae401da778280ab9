import gc
import os

import hypothesis
import keras
import pytest
from loops import afresh
from precision import WIDEST
from traces import free_traces

hypothesis.settings.register_profile("default", deadline=None, derandomize=True)
hypothesis.settings.register_profile("long", deadline=None, derandomize=True, max_examples=250)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
hypothesis.settings.load_profile("long" if os.environ.get("KERASREG_LONG") else "default")


def pytest_collection_finish():
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(autouse=True, scope="module")
def _objects_of_earlier_files():
    """Excludes what other files left from garbage collections and from searches for models."""
    free_traces()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _same_names_and_seeds():
    """Every test starts with layer names without numbers and with the same random state."""
    free_traces()
    afresh()


@pytest.fixture
def widest():
    """Layers compute in the widest dtype that the backend supports."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(WIDEST)
    yield
    keras.config.set_dtype_policy(before)
