"""The base of our dynamic providers.

What pulumi.dynamic 3.272 does, and what follows from it: providers of importable modules are pickled by reference with
their instance attributes, so these stay empty; numbers arrive as floats and None values not at all; an update must
return every output; outputs resolve only where they are declared as None; read may not return None. Four threads share
one instance of each provider.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import traceback
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

from pulumi.dynamic import ConfigureRequest, DiffResult, ReadResult, ResourceProvider
from typing_extensions import override

from components.access import Access, Target
from components.drift import Drift
from talos_gpu.errors import TalosGpuError
from talos_gpu.talos.errors import (
    CertificateExpired,
    CertificateRejected,
    ForwardingRefused,
    TalosConfigInvalid,
    Unreachable,
)

T = TypeVar("T")
Props = dict[str, Any]
_FRAMES = 1000
"""Frames of a traceback, as many as Python shows by itself."""
DRIFT = "drift"
"""Output: what refresh found, sentences or a Drift. A diff while it is not empty, so that the next `up` mends it."""

NO_CONNECTION = (Unreachable, CertificateRejected, ForwardingRefused, CertificateExpired, TalosConfigInvalid)
"""Failures that every look at a node has."""


class NodeProvider(ResourceProvider):
    """Reads one node; `moves` are the inputs whose change means an update, all others are only carried along."""

    serialize_as_secret_always = False  # nothing is captured: credentials come from configure
    moves: ClassVar[frozenset[str]]
    _access: Access

    @override
    def configure(self, req: ConfigureRequest) -> None:
        self._access = Access.of(req.config.get)

    @override
    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """Another node is another resource; a moved input or drift is an update.

        Drift that is an input of the state too (`drifted`) is left to the engine, which compares inputs by itself and
        shows which: the only way to a detailed diff.
        """
        changed = moved(self.moves, _olds, _news)
        if "node" in changed:
            return DiffResult(changes=True, replaces=["node"])
        drift = _olds.get(DRIFT)
        if drift and isinstance(drift, Mapping):
            return DiffResult(changes=None, replaces=[])
        return DiffResult(changes=bool(changed or drift), replaces=[])

    @override
    def read(self, id_: str, props: Props) -> ReadResult:
        return ReadResult(id_, whole(props))

    @override
    def delete(self, _id: str, _props: Props) -> None:
        """Nothing was made on the node; works with node and credentials gone."""


def drifted(id_: str, props: Props, given: frozenset[str], drift: Drift) -> ReadResult:
    """What a refresh answers: the recorded outputs, and each cause of drift as an input beside those `given`."""
    inputs = {key: value for key, value in props.items() if key in given}
    return ReadResult(id_, {**props, DRIFT: drift}, {**inputs, **drift})


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a provider's work to its end.

    pulumi.dynamic answers every exception with its traceback; a failure of ours is told in its own words alone, a
    defect with all of it. The limit is the process's, which runs several at once: it is set once and never taken back.
    """
    sys.tracebacklimit = 0
    try:
        return asyncio.run(work)
    except TalosGpuError:
        raise
    except Exception as defect:
        told = "".join(traceback.format_exception(defect, limit=_FRAMES))
        raise ProviderDefect(told) from None


class ToldBefore(TalosGpuError):
    """A look of a refresh that fails as another resource's does, which says what to do about it."""

    def __init__(self, error: TalosGpuError, teller: str) -> None:
        super().__init__(f"{error.message}; what to do is told by {teller} (where it tells nothing: run it again)")


@contextmanager
def told_by(teller: str, *failures: type[TalosGpuError]) -> Iterator[None]:
    """Leave the remedy of `failures` to `teller`, which a refresh has look at the same node: four of one are noise."""
    try:
        yield
    except failures as error:
        if not error.remedy:
            raise
        raise ToldBefore(error, teller) from None


class ProviderDefect(Exception):
    """Something that we did not foresee, with its whole traceback."""


def moved(keys: frozenset[str], olds: Mapping[str, Any], news: Mapping[str, Any]) -> frozenset[str]:
    """The keys whose values differ; a value that is not known yet differs from every value."""
    return frozenset(key for key in keys if olds.get(key) != news.get(key))


def target(props: Mapping[str, Any]) -> Target:
    """The node that a resource is about."""
    return Target(props["node"], props["address"], props["endpoint"])


def token() -> str:
    """A new token: whatever hangs on it runs again."""
    return secrets.token_hex(8)


def tell(sentence: str) -> None:
    """Tell the person: the engine shows what a plugin prints."""
    print(sentence, flush=True)


def whole(value: Any) -> Any:  # noqa: ANN401 (a property's value)
    """The value with integral floats as integers again, and without None."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: whole(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [whole(item) for item in value]
        case _:
            return value
