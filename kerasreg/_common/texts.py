"""Lists in messages, short enough to be read."""

import difflib
import re


def listed(texts, limit=5):
    """The first few of some texts, and how many more there are."""
    texts = list(map(str, texts))
    more = [f"{len(texts) - limit} more"] if len(texts) > limit else []
    return ", ".join([*texts[:limit], *more])


def nearest(pattern, paths, names="paths", limit=10):
    """What a message says of the paths that a regular expression could have meant.

    All of them if they are few, else those that look most like it.

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
    """How much of a path, or of a part of it as deep as the wanted one, is the same."""
    names, depth = path.split("/"), wanted.count("/") + 1
    parts = ["/".join(names[start : start + depth]) for start in range(len(names) - depth + 1)]
    matcher = difflib.SequenceMatcher(b=wanted, autojunk=False)

    def ratio(part):
        matcher.set_seq1(part)
        return matcher.ratio()

    return max(map(ratio, [path, *parts]))
