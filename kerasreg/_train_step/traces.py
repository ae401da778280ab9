"""Makes Keras trace compiled functions again after penalties have changed."""

import gc

import keras


def renew(model):
    """Makes Keras trace the steps of a model again, because they contain its penalties."""
    # A fit that is running calls whatever is there, and makes none.
    if getattr(model, "train_function", None) is not None:
        model.make_train_function(force=True)
    if getattr(model, "test_function", None) is not None:
        model.make_test_function(force=True)


def forget_traces(model):
    """Makes Keras trace the steps of every model again that shares variables with this one.

    A model knows what is in it, and not what it is in: the layer of another, an attribute, a part
    of a graph. So this looks through all models that there are. Functions that a user has compiled
    (`tf.function`, `jax.jit`) and exported models stay as they are.
    """
    own = {id(variable) for variable in model.variables}
    for each in _models():
        if each is model or any(id(variable) in own for variable in each.variables):
            renew(each)


def _models():
    """Returns every model that has a compiled step."""
    kinds = _with_subclasses(keras.Model)
    # Not `gc.get_referrers`: it looks into every object there is, also into those of C libraries
    # that are half destroyed, and crashed.
    found = [each for each in gc.get_objects() if type(each) in kinds]
    names = "train_function", "test_function"
    return [each for each in found if any(each.__dict__.get(name) for name in names)]


def _with_subclasses(kind):
    found, left = set(), [kind]
    while left:
        found.add(left.pop())
        left = [each for one in found for each in one.__subclasses__() if each not in found]
    return found
