"""The analysis of a model in which some rules raise: their operations stay as they are."""

from collections.abc import Callable

from kerasreg.shrinking.analysis import Analysis, RuleError
from kerasreg.shrinking.rules import rule_of
from kerasreg.shrinking.rules.base import Pinned


def analyse(model, use: Callable = lambda analysis: analysis):
    """`use(analysis)` of a model, and again without the rules that raise.

    No rule, of ours or of a user, may keep a model from shrinking: an operation whose rule raises
    is pinned, and the report gives the reason.
    """
    broken = {}

    def rule(operation):
        reason = broken.get(id(operation))
        return rule_of(operation) if reason is None else Pinned(reason)

    while True:
        try:
            return use(Analysis(model, rule))
        except RuleError as error:
            if id(error.operation) in broken:
                # It fails as it is.
                raise error.__cause__ from None
            broken[id(error.operation)] = error.reason
