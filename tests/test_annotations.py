"""The public API is fully annotated, as `py.typed` says; `make lint` checks the types."""

import inspect

import kerasreg


def functions(name, member):
    """Yields `(name, function)` of the public functions of a module, class or function."""
    if inspect.ismodule(member):
        for each in member.__all__:
            yield from functions(f"{name}.{each}", getattr(member, each))
    elif inspect.isclass(member):
        for each, value in vars(member).items():
            function = value.fget if isinstance(value, property) else value
            function = getattr(function, "__func__", function)
            is_ours = inspect.isfunction(function) and function.__module__.startswith("kerasreg")
            if is_ours and (each in ("__init__", "__call__") or not each.startswith("_")):
                yield f"{name}.{each}", function
    else:
        yield name, member


def missing(function):
    """Yields the arguments of a function that have no annotation, and "return"."""
    signature = inspect.signature(function)
    for name, parameter in signature.parameters.items():
        if parameter.annotation is inspect.Parameter.empty and name not in ("self", "cls"):
            yield name
    if signature.return_annotation is inspect.Signature.empty and function.__name__ != "__init__":
        yield "return"


def test_the_public_api_is_annotated():
    public = {name: getattr(kerasreg, name) for name in kerasreg.__all__}
    found = {}
    for name, member in public.items():
        for place, function in functions(name, member):
            if arguments := list(missing(function)):
                found[place] = arguments
    assert not found
