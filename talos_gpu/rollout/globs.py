"""Stacks' names and the globs that rollout.yaml and holds name them by."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import translate
from itertools import islice

_WILDCARD = re.compile(r"[*?[]")


class Globs:
    """Matches a name against globs; a glob without wildcards is a plain name and costs a look-up."""

    def __init__(self, globs: Sequence[str]) -> None:
        self._plain = frozenset(globs)
        self._patterns = [re.compile(translate(glob)) for glob in globs if _WILDCARD.search(glob)]

    def __contains__(self, name: str) -> bool:
        return name in self._plain or any(pattern.match(name) for pattern in self._patterns)


class Names:
    """Names that globs are matched with; a glob is tried on those alone that begin as it does.

    So a fleet of many clusters costs no more a stack than a small one.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._places = {name: place for place, name in enumerate(names)}
        self._sorted = sorted(self._places)

    def matching(self, globs: Iterable[str]) -> list[str]:
        """The names that any of the globs matches, in their own order; a glob that is a name matches it."""
        found = {name for glob in globs for name in self._matching(glob)}
        return sorted(found, key=self._places.__getitem__)

    def _matching(self, glob: str) -> Iterator[str]:
        if glob in self._places:
            yield glob
        beginning = _WILDCARD.split(glob, maxsplit=1)[0]
        if beginning == glob:
            return
        pattern = re.compile(translate(glob))
        for name in islice(self._sorted, bisect_left(self._sorted, beginning), None):
            if not name.startswith(beginning):
                return
            if pattern.match(name):
                yield name
