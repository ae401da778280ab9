"""The numbers that are logged during a fit."""

from kerasreg._proximal.coupled_session import CoupledSession
from kerasreg._proximal.scale import ScaleSession
from kerasreg._pruning.session import PruningSession
from kerasreg._report.logged import measure


def numbers_of_fit(model, include, sessions):
    """Returns the current `Logged` numbers of a model.

    Args:
        model: a built Keras model.
        include: regular expression, searched in the paths of the variables to measure, or None.
        sessions: the sessions of the fit, see `FitScope.sessions_of`.
    """
    prunings = [each for each in sessions if isinstance(each, PruningSession)]
    scales, coupled = _penalties(sessions, include or "")
    return measure(
        model,
        include,
        pruned=[variable for each in prunings for variable in each.variables],
        target=_mean_target(prunings),
        scales=scales,
        coupled=coupled,
    )


def _penalties(sessions, include):
    """Returns `{id(variable): scale}` and `{name of a coupled group: scaled penalty}`."""
    lassos = [each for each in sessions if isinstance(each, CoupledSession)]
    groups = [group for each in lassos for group in each.coupled_groups]
    scales, scales_of_groups, penalties = {}, {}, {}
    for each in sessions:
        if isinstance(each, ScaleSession):
            variables, names = each.scales(groups)
            scales |= variables
            scales_of_groups |= names
    for each in lassos:
        penalties |= each.penalties()
    return scales, {
        group.name: scales_of_groups.get(group.name, 1.0) * penalties[group.name]
        for group in groups
        if group.matches(include)
    }


def _mean_target(prunings):
    sizes = [sum(target.weights for target in each.targets) for each in prunings]
    pairs = zip(prunings, sizes, strict=True)
    return sum(each.target * size for each, size in pairs) / sum(sizes) if prunings else None
