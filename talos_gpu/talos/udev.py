"""udev rules as udev reads them: the spaces and the order of a rule's clauses say nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

RULES_FILES = ("/usr/lib/udev/rules.d/99-talos.rules", "/usr/etc/udev/rules.d/99-talos.rules")
"""Where Talos writes the config's rules at boot: now, and in older releases (machinery constants, UdevRulesPath)."""
_CLAUSE = re.compile(
    r"""\s*(?P<key>[A-Za-z_]+(?:\{[^}]*\})?)\s*(?P<op>==|!=|\+=|-=|:=|=)\s*(?P<value>[ei]?"(?:[^"\\]|\\.)*")\s*(?:,|$|(?=[A-Z]))""",
)
_MATCHES = frozenset(("==", "!="))


@dataclass(frozen=True, slots=True)
class UdevRule:
    """A rule: what it matches and what it sets, each a set of (key, operator, quoted value).

    A rule that is not in udev's usual form has neither, and equals only its own text with the spaces in one form.
    """

    matches: frozenset[tuple[str, str, str]]
    sets: tuple[tuple[str, str, str], ...]
    """Sorted by key; of one key in the order of the rule, which matters for RUN and the like."""
    text: str = ""

    @classmethod
    def parse(cls, rule: str) -> UdevRule:
        """Read one rule."""
        clauses: list[tuple[str, str, str]] = []
        position, text = 0, rule.strip()
        while position < len(text):
            clause = _CLAUSE.match(text, position)
            if clause is None:
                return cls(frozenset(), (), re.sub(r"\s+", " ", text))
            clauses.append((clause["key"], clause["op"], clause["value"]))
            position = clause.end()
        sets = [clause for clause in clauses if clause[1] not in _MATCHES]
        return cls(
            frozenset(clause for clause in clauses if clause[1] in _MATCHES),
            tuple(sorted(sets, key=lambda clause: clause[0])),
        )

    def contradicts(self, other: UdevRule) -> bool:
        """Whether both match the same devices and set one key to different values."""
        if not self.matches or self.matches != other.matches:
            return False
        theirs = {key: value for key, op, value in other.sets if op in {"=", ":="}}
        return any(theirs.get(key, value) != value for key, op, value in self.sets if op in {"=", ":="})


def same_rule(rule: str, others: Iterable[str]) -> bool:
    """Whether one of `others` is `rule` in another spelling."""
    parsed = UdevRule.parse(rule)
    return any(UdevRule.parse(other) == parsed for other in others)
