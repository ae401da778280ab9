import hypothesis
import keras
import pytest
from precision import WIDEST

hypothesis.settings.register_profile("default", deadline=None, derandomize=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
hypothesis.settings.load_profile("default")


@pytest.fixture(autouse=True)
def _same_names_and_seeds():
    """Every test starts from layer names without numbers and from the same random state."""
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)


@pytest.fixture
def widest():
    """Layers compute as exactly as they can."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(WIDEST)
    yield
    keras.config.set_dtype_policy(before)
