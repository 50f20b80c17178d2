"""Reading a CDI spec: text in, model or every fault out."""

from __future__ import annotations

from talos_gpu.cdi.aliases import aliasing
from talos_gpu.cdi.decoder import Decoder, Path, render_path
from talos_gpu.cdi.errors import SpecFault, SpecInvalid
from talos_gpu.cdi.model import Spec
from talos_gpu.cdi.rules import check
from talos_gpu.cdi.schema import Library, fold
from talos_gpu.cdi.tree import Alias, AnyNode, Mapping, Scalar, Sequence, Unreadable, compose
from talos_gpu.collector import collector_paused


@collector_paused
def parse(text: str, *, library: Library = Library.V1_0_1) -> Spec:
    """The spec in a YAML or JSON text (the first document), as containerd's CDI library of that release loads it.

    Raises SpecInvalid with every fault where that library refuses the text.
    """
    spec, _, found = read(text, library)
    if found:
        raise SpecInvalid(found)
    return spec


@collector_paused
def faults(text: str, *, library: Library = Library.V1_0_1) -> list[SpecFault]:
    """Every reason why that release of the CDI library refuses the text, in the order of the text; [] if it doesn't."""
    return read(text, library)[2]


def read(text: str, library: Library) -> tuple[Spec, AnyNode | None, list[SpecFault]]:
    """Model, tree and faults of a text in one pass; model and tree are partial where there are faults."""
    try:
        root = compose(text)
    except Unreadable as error:
        return Spec(), None, [error.fault]
    # no alias without its sign; most specs have none
    if root is not None and "*" in text and (fault := aliasing(root)):
        return Spec(), root, [fault]
    decoder = Decoder(library)
    spec = decoder.spec(root)
    found = decoder.faults
    # what could not be decoded has its zero value, which would break rules that the text does not
    broken = {fault.path for fault in found}
    if root is not None and "" not in broken:
        for violation in check(spec, library):
            path = render_path(violation.path)
            if not any(path == other or path.startswith((f"{other}.", f"{other}[")) for other in broken):
                node = locate(root, violation.path)
                found.append(
                    SpecFault(node.line, node.column, path, violation.rule, violation.message, violation.source)
                )
    found.sort(key=lambda fault: (fault.line, fault.column))
    return spec, root, found


def locate(root: AnyNode, path: Path) -> AnyNode:
    """The node at a path, or the nearest above it that the text has; the place of an alias is where it is used."""
    node = root
    for part in path:
        inner = _child(node.target if isinstance(node, Alias) else node, part)
        if inner is None:
            return node
        node = inner
    return node


def _child(node: AnyNode, part: str | int) -> AnyNode | None:
    if isinstance(part, int):
        return node.items[part] if isinstance(node, Sequence) and part < len(node.items) else None
    if not isinstance(node, Mapping):
        return None
    folded = fold(part)
    for key, value in node.items:
        name = key.target if isinstance(key, Alias) else key
        if isinstance(name, Scalar) and (name.value == part or fold(name.value) == folded):
            return value
    return None
