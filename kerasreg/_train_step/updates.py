"""What happens to some variables after the optimizer's own step, in every train step."""


def contains(variables, variable):
    """Whether this very variable is among the variables; `in` would compare values."""
    return any(each is variable for each in variables)


class Update:
    """Something that happens to some variables after the optimizer's own step.

    Args:
        variables: the model variables that it changes.
        active: a function without arguments; the update is left out where it returns False
            at tracing time.
    """

    #: Lower comes first: shrink, then mask.
    order: float = 0
    #: What it must be the only one of, for each of its variables; None where several may be.
    alone_as: str | None = None
    #: Whether it changes weights, and does not only look at them.
    changes_weights = True
    #: Whether `__call__` takes all variables of an optimizer at once: a list of them, a list of
    #: what `before` gave for each, and it returns a list.
    is_joint = False

    def __init__(self, variables, active=lambda: True):
        self.variables = list(variables)
        self.active = active
        #: How often it was traced or run for one of its variables.
        self.calls = 0
        #: The `Counter` of the steps that it was in, while it is in a hook.
        self.counter = None
        #: The variables that others of its class have changed before they were taken out.
        self.served = []

    def common(self, other):
        """The variables that both change, of an update that must be alone."""
        return [variable for variable in self.variables if contains(other.variables, variable)]

    def covered(self):
        """The variables that it has changed in some step."""
        counts = self.counter.read()
        return [variable for each in counts for variable, times in each.of_variables if times]

    def create_state(self, hook):
        """Create what lives in the step, with `hook.add_state`."""

    def changed(self, variables):
        """Those that it changes, of the variables of its own that have a gradient in a step."""
        return variables

    def before(self, hook, variable, gradient):
        """A tuple of tensors to keep from before the optimizer's own step.

        Under `tf.distribute` the gradient is the replica's part of it, see `sum_over_replicas`.
        """
        return ()

    def gradient(self, hook, variable, gradient):
        """The gradient that the optimizer's own step takes, from that of the loss."""
        return gradient

    def __call__(self, hook, variable, learning_rate, before):
        """The new value of `variable`, after the optimizer's own step; None leaves it as it is.

        See `is_joint`.
        """
        raise NotImplementedError
