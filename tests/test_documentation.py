"""The examples in the documentation run."""

import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest

import kerasreg

MODULES = [module.name for module in pkgutil.walk_packages(kerasreg.__path__, "kerasreg.")]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    keras.utils.clear_session()
    namespace = {"keras": keras, "kerasreg": kerasreg, "np": np, "tmp_path": tmp_path}
    results = doctest.testmod(importlib.import_module(name), extraglobs=namespace)
    assert results.failed == 0


@pytest.mark.parametrize("name", kerasreg.__all__)
def test_every_public_function_has_an_example(name):
    member = getattr(kerasreg, name)
    members = (
        [getattr(member, each) for each in member.__all__]
        if hasattr(member, "__all__")
        else [member]
    )
    for each in members:
        if each is not kerasreg.regularizers.Regularizer:
            assert ">>>" in each.__doc__, each
