"""`shrink` compares outputs, which detects wrong rules."""

import keras
import pytest
from shrinking.mutants import MUTANTS

import kerasreg
from kerasreg._graph.rules import base


class Patch:
    """Replaces attributes and rules; `monkeypatch` restores them."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch

    def __call__(self, place, name, value):
        self._monkeypatch.setattr(place, name, value, raising=hasattr(place, name))

    def rule(self, cls, rule):
        self._monkeypatch.setitem(base._RULES, cls, rule)


@pytest.mark.filterwarnings("ignore")
def test_the_comparison_of_outputs_detects_every_wrong_rule(monkeypatch):
    alive = []
    for plant, make in MUTANTS:
        keras.utils.set_random_seed(0)
        model = make()
        model = model[0] if isinstance(model, tuple) else model
        kerasreg.shrink(model)
        with monkeypatch.context() as context:
            plant(Patch(context))
            try:
                _, report = kerasreg.shrink(model)
            except RuntimeError as error:
                if "differ by" not in str(error):
                    raise
            else:
                alive.append((plant.__name__, report.difference, report.pinned))
    assert not alive, "\n".join(map(str, alive))
    assert len(MUTANTS) >= 38
