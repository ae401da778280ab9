"""What a layer computes, watched for a while."""

import contextlib


@contextlib.contextmanager
def replaced_call(layer, call):
    """A layer with this function in place of its `call`."""
    own = layer.__dict__.get("call")
    layer.__dict__["call"] = call
    try:
        yield
    finally:
        del layer.__dict__["call"]
        if own is not None:
            layer.__dict__["call"] = own
