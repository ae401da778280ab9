"""Makes Keras trace compiled functions again after penalties have changed."""

import gc

import keras


def renew(model):
    """Makes Keras trace the steps of a model again, because they contain its penalties."""
    # A running fit calls the existing function and does not create one.
    if getattr(model, "train_function", None) is not None:
        model.make_train_function(force=True)
    if getattr(model, "test_function", None) is not None:
        model.make_test_function(force=True)


def forget_traces(model):
    """Makes Keras trace the steps again, for every model that shares variables with this one.

    A model has no references to the models that contain it, so all existing models are searched.
    Functions that a user has compiled (`tf.function`, `jax.jit`) and exported models are not
    traced again.
    """
    own = {id(variable) for variable in model.variables}
    for each in _models():
        if each is model or any(id(variable) in own for variable in each.variables):
            renew(each)


def _models():
    """Returns every model that has a compiled step."""
    kinds = _with_subclasses(keras.Model)
    # `gc.get_referrers` crashed: it also inspects objects of C libraries that are being destroyed.
    found = [each for each in gc.get_objects() if type(each) in kinds]
    names = "train_function", "test_function"
    return [each for each in found if any(each.__dict__.get(name) for name in names)]


def _with_subclasses(kind):
    found, left = set(), [kind]
    while left:
        found.add(left.pop())
        left = [each for one in found for each in one.__subclasses__() if each not in found]
    return found
