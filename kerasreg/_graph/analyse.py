"""The analysis of a model in which some rules raise: their operations stay as they are."""

from collections.abc import Callable

from kerasreg._graph.analysis import Analysis, RuleError
from kerasreg._graph.rules import rule_of
from kerasreg._graph.rules.base import Pinned
from kerasreg._graph.tracing import trace


def analyse(model, use: Callable = lambda analysis: analysis):
    """`use(analysis)` of a model, and again without the rules that raise.

    No rule, of ours or of a user, may keep a model from shrinking: an operation whose rule raises
    is pinned, and the report gives the reason. If it fails all the same, so are those before it.
    """
    broken: dict[int, str] = {}

    def rule(operation):
        reason = broken.get(id(operation))
        return rule_of(operation) if reason is None else Pinned(reason)

    while True:
        try:
            return use(Analysis(model, rule))
        except RuleError as error:
            key = id(error.operation)
            new = {key} - broken.keys() or _before(model, key) - broken.keys()
            if not new:
                # It fails as it is.
                raise error.cause from None
            broken.update(dict.fromkeys(new, error.reason))


def _before(model, key):
    """The ids of the operations that an operation depends on."""
    calls = trace(model).calls
    found = {key}
    for call in reversed(calls):
        wanted = {id(each) for one in calls if id(one.operation) in found for each in one.inputs}
        if any(id(each) in wanted for each in call.outputs):
            found.add(id(call.operation))
    return found
