"""Faults made in the running lab, each with the roots that the doctor must find for it, exactly.

Only the node, the cluster or a file of the operator's is changed, never what the doctor has gathered. The kernel and
the driver are pretended by the lab (lab/README.md); their facts are changed where every program of the node reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.lab.conftest import MainJob

Make = Callable[[MainJob], AbstractContextManager[Mapping[str, Any] | None]]


@dataclass(frozen=True)
class LiveFault:
    """A fault; `make` yields what the doctor is asked beyond the stack (`stack` file, `upgrade_to`), if anything."""

    name: str
    make: Make
    roots: frozenset[str]


class Faults(list[LiveFault]):
    """The faults of one kind, in the order in which they are told."""

    def fault(self, name: str, *roots: str) -> Callable[[Make], Make]:
        def register(make: Make) -> Make:
            self.append(LiveFault(name, make, frozenset(roots)))
            return make

        return register

    def made(self, name: str, root: str, make: Callable[[MainJob], AbstractContextManager[None]]) -> None:
        """A fault that is one context of broken_node's."""
        self.append(LiveFault(name, make, frozenset((root,))))


@contextmanager
def all_of(job: MainJob, *faults: LiveFault) -> Iterator[Mapping[str, Any]]:
    """Faults at once, and what the doctor is asked for them."""
    with ExitStack() as stack:
        asked: dict[str, Any] = {}
        for each in faults:
            yielded = stack.enter_context(each.make(job))
            asked.update(yielded or {})
        yield asked
