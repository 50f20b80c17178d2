"""Changing a spec's hook paths by splice: every other byte stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from talos_gpu.cdi.decoder import Path, render_path
from talos_gpu.cdi.errors import CdiError, HookPathUnknown, PatchUnsafe, SpecInvalid
from talos_gpu.cdi.model import ContainerEdits, Spec
from talos_gpu.cdi.schema import Library, fold
from talos_gpu.cdi.spec import read
from talos_gpu.cdi.strategy import Strategy
from talos_gpu.cdi.tree import Alias, AnyNode, Mapping, Scalar, Sequence, same_but
from talos_gpu.collector import collector_paused


@dataclass(frozen=True, slots=True)
class Patched:
    """A spec ready to be installed. Digests are SHA-256 in hex of the UTF-8 text."""

    text: str
    source: str
    kind: str
    devices: tuple[str, ...]
    hooks: tuple[str, ...]
    """The hook binaries, each once, in the order of their first use."""
    replaced: int

    @property
    def sha256(self) -> str:
        """Of `text`."""
        return sha256(self.text)

    @property
    def source_sha256(self) -> str:
        """Of the text that was patched."""
        return sha256(self.source)


def sha256(text: str) -> str:
    """SHA-256 in hex of a text in UTF-8."""
    import hashlib  # noqa: PLC0415 - it loads OpenSSL, and a pipe wants no digest

    return hashlib.sha256(text.encode()).hexdigest()


@collector_paused
def patch(text: str, strategy: Strategy, *, library: Library = Library.V1_0_1) -> Patched:
    """The spec with the hook binaries that the strategy wants; a patched spec comes back as it is.

    Raises SpecInvalid, HookPathUnknown (with all unknown hooks) or PatchUnsafe.
    """
    spec, root, faults = read(text, library)
    if faults or root is None:
        raise SpecInvalid(faults)
    known = strategy.known
    unknown = [(hook.path, hook.line) for hook in spec.hooks() if known and hook.path not in known]
    if unknown:
        raise HookPathUnknown(unknown, known)
    pieces: list[str] = []
    position = 0
    changed: dict[int, str] = {}
    for place, node in sorted(_hook_paths(spec, root, strategy), key=lambda found: found[1].start):
        start, end = _span(text, node, place)
        changed[node.start] = strategy.replaces[node.value]
        pieces += (text[position:start], changed[node.start])
        position = end
    result = "".join((*pieces, text[position:])) if changed else text
    if changed and not same_but(root, changed, result):
        raise CdiError("the patched text differs from the source in more than its hook paths; nothing is changed")
    return Patched(
        text=result,
        source=text,
        kind=spec.kind,
        devices=tuple(device.name for device in spec.devices),
        hooks=tuple(dict.fromkeys(strategy.replaces.get(hook.path, hook.path) for hook in spec.hooks())),
        replaced=len(changed),
    )


def _span(text: str, node: Scalar, place: str) -> tuple[int, int]:
    """Where the value itself stands, without quotes; refuses every form but the three simple ones."""
    if node.anchored:
        raise PatchUnsafe(place, node.line, "the path is an anchor, so other places may use it")
    for quote in ("", "'", '"'):
        if node.style == quote and text[node.start : node.end] == f"{quote}{node.value}{quote}":
            return node.start + len(quote), node.end - len(quote)
    raise PatchUnsafe(place, node.line, "the path is tagged, folded, escaped or a block scalar")


def _hook_paths(spec: Spec, root: AnyNode, strategy: Strategy) -> Iterator[tuple[str, Scalar]]:
    """(place, node) of every hook path that the strategy replaces."""
    places: list[tuple[Path, ContainerEdits]] = [(("containerEdits",), spec.container_edits)]
    places += [(("devices", i, "containerEdits"), device.container_edits) for i, device in enumerate(spec.devices)]
    for path, edits in places:
        for index, hook in enumerate(edits.hooks):
            if hook is not None and hook.path in strategy.replaces:
                place: Path = (*path, "hooks", index, "path")
                yield render_path(place), _written(root, place, hook.line)


def _written(root: AnyNode, place: Path, line: int) -> Scalar:
    """The scalar at a place, if it is written there and nowhere else."""
    node: AnyNode | None = root
    for part in place:
        if isinstance(node, Sequence) and isinstance(part, int):
            node = node.items[part]
        elif isinstance(node, Mapping) and isinstance(part, str):
            node = _entry(node, part)
        if node is None or isinstance(node, Alias):
            break
    if isinstance(node, Scalar):
        return node
    raise PatchUnsafe(render_path(place), line, "it comes through an alias, a merge key or two spellings of a key")


def _entry(node: Mapping, name: str) -> AnyNode | None:
    """The value of a field; None where it is written in none or in several spellings here."""
    folded = fold(name)
    found = [value for key, value in node.items if isinstance(key, Scalar) and fold(key.value) == folded]
    return found[0] if len(found) == 1 else None
