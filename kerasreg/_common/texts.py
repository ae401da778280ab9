"""Short lists for messages."""

import difflib
import re


def listed(texts, limit=5):
    """Joins the first few texts, and says how many more there are."""
    texts = list(map(str, texts))
    more = [f"{len(texts) - limit} more"] if len(texts) > limit else []
    return ", ".join([*texts[:limit], *more])


def nearest(pattern, paths, names="paths", limit=10):
    """Returns, for a message, the paths that a regular expression may have been meant to match.

    These are all paths if they are few, otherwise those that are most similar to it.

    >>> nearest("b", ["a", "b"])
    "the paths are ['a', 'b']"
    """
    paths = list(dict.fromkeys(paths))
    if len(paths) <= limit:
        return f"the {names} are {paths}"
    wanted = re.sub(r"[^\w/-]", "", str(pattern)) or str(pattern)
    found = sorted(paths, key=lambda path: -_likeness(wanted, path))[:limit]
    return f"the nearest of the {len(paths)} {names} are {found}"


def _likeness(wanted, path):
    """Returns the similarity to a path, or to the most similar part of it of equal depth."""
    names, depth = path.split("/"), wanted.count("/") + 1
    parts = ["/".join(names[start : start + depth]) for start in range(len(names) - depth + 1)]
    matcher = difflib.SequenceMatcher(b=wanted, autojunk=False)

    def ratio(part):
        matcher.set_seq1(part)
        return matcher.ratio()

    return max(map(ratio, [path, *parts]))
