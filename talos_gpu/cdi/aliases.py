"""go-yaml's guard against aliases that contain themselves, or make a large document of a small text.

goyaml.v2/decode.go counts every value that it decodes, and those that it decodes behind an alias; the latter may be
99 % of up to 400,000 values, falling to 10 % of 4,000,000. It decodes the whole document, unknown fields too.
"""

from __future__ import annotations

from collections.abc import Iterator

from talos_gpu.cdi import scalars
from talos_gpu.cdi.errors import SpecFault
from talos_gpu.cdi.tree import DECODER, Alias, AnyNode, Mapping, Scalar, Sequence

FEW_ALIASED, FEW = 100, 1000
LOW, HIGH = 400_000, 4_000_000


def aliasing(root: AnyNode) -> SpecFault | None:
    """Why go-yaml stops decoding a document for its aliases, None if it does not; stops at the same value."""
    decoded, aliased = 1, 0  # the document itself is a value
    # a stack, since a chain of aliases may be as long as the text; None ends the alias that was opened last
    pending: list[AnyNode | None] = [root]
    opened: dict[int, Alias] = {}
    while pending:
        node = pending.pop()
        if node is None:
            opened.popitem()
            continue
        decoded += 1
        aliased += bool(opened)
        if aliased > FEW_ALIASED and decoded > FEW and aliased / decoded > _allowed(decoded):
            first = next(iter(opened.values()), node)
            return SpecFault(
                first.line, first.column, "", "yaml-alias", "document contains excessive aliasing", DECODER
            )
        if isinstance(node, Alias):
            if id(node) in opened:
                message = f"anchor '{node.name}' value contains itself"
                return SpecFault(node.line, node.column, "", "yaml-alias", message, DECODER)
            opened[id(node)] = node
            pending += (None, node.target)
        elif not isinstance(node, Scalar):
            pending += reversed(list(_inside(node)))
    return None


def merges(key: AnyNode) -> bool:
    """Whether a key merges its value into the mapping."""
    return isinstance(key, Scalar) and key.value == "<<" and (key.plain or key.tag == scalars.MERGE)


def _inside(node: Sequence | Mapping) -> Iterator[AnyNode]:
    """What is decoded of a value, in go-yaml's order: of a merge key neither the key nor a list of mappings itself."""
    if isinstance(node, Sequence):
        yield from node.items
        return
    for key, value in node.items:
        if not merges(key):
            yield key
            yield value
        elif isinstance(value, Sequence):
            yield from reversed(value.items)
        else:
            yield value


def _allowed(decoded: int) -> float:
    if decoded >= HIGH:
        return 0.1
    return 0.99 if decoded <= LOW else 0.99 - 0.89 * ((decoded - LOW) / (HIGH - LOW))
