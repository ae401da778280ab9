"""The analysis of a model, in which operations with failing rules are not changed."""

from collections.abc import Callable

from kerasreg._graph.analysis import Analysis, RuleError
from kerasreg._graph.rules import rule_of
from kerasreg._graph.rules.base import Pinned
from kerasreg._graph.tracing import trace


def analyse(model, use: Callable = lambda analysis: analysis):
    """Returns `use(analysis)` of a model, where failing rules are replaced.

    A failing rule, built-in or custom, must not prevent shrinking. An operation whose rule raises
    is pinned, and the report gives the reason. If `use` still fails for this operation, all
    operations that it depends on are pinned, too.

    Args:
        model: a Functional or Sequential model.
        use: a function of an `Analysis`; it may be called several times.

    Raises:
        Exception: that of the rule, if pinning does not help.
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
                # The failure is independent of the rules.
                raise error.cause from None
            broken.update(dict.fromkeys(new, error.reason))


def _before(model, key):
    """Returns the ids of the operations that an operation depends on."""
    calls = trace(model).calls
    found = {key}
    for call in reversed(calls):
        wanted = {id(each) for one in calls if id(one.operation) in found for each in one.inputs}
        if any(id(each) in wanted for each in call.outputs):
            found.add(id(call.operation))
    return found
