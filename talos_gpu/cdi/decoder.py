"""From the YAML tree to the model, as strictly as sigs.k8s.io/yaml's UnmarshalStrict: all faults, each with its place.

Two steps of the Go library in one: goyaml.v2 (aliases, merge keys, duplicate keys) and encoding/json (unknown fields,
types). A null leaves a field as it was, a number or boolean becomes text where a string is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from typing import Any

from talos_gpu.cdi import scalars
from talos_gpu.cdi.aliases import merges
from talos_gpu.cdi.errors import SpecFault
from talos_gpu.cdi.model import Spec
from talos_gpu.cdi.schema import INTEGER_RANGES, Field, Kind, Library, find_field, names
from talos_gpu.cdi.tree import DECODER, Alias, AnyNode, Mapping, Scalar, Sequence

STRICT = "sigs.k8s.io/yaml yaml.go UnmarshalStrict"
JSON = "encoding/json Decoder with DisallowUnknownFields"
Path = tuple[str | int, ...]
_SCALARS = frozenset((Kind.STRING, Kind.BOOL, Kind.INT64, Kind.INT, Kind.UINT32))
_INTEGERS = frozenset((Kind.INT64, Kind.INT, Kind.UINT32))
_NAMES = {Kind.STRING: "a string", Kind.BOOL: "true or false", Kind.STRING_MAP: "a mapping of strings"}


def render_path(path: Path) -> str:
    """`devices[0].containerEdits.hooks[1].path`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass(slots=True)
class Decoder:
    """Decodes one document; `faults` fills up on the way."""

    library: Library
    faults: list[SpecFault] = field(default_factory=list)

    def spec(self, root: AnyNode | None) -> Spec:
        """The spec of the document's root; what is wrong in it is in `faults` and has its zero value."""
        if root is None or (isinstance(root, Scalar) and self._scalar(root, ()) is None and not self.faults):
            self._fault(root, (), "empty", "no spec in it", "pkg/cdi/spec.go ReadSpec")
            return Spec()
        decoded = self._struct(root, (), Spec)
        return decoded if isinstance(decoded, Spec) else Spec()

    def _fault(self, node: AnyNode | None, path: Path, rule: str, message: str, source: str) -> None:
        line, column = (node.line, node.column) if node is not None else (1, 1)
        self.faults.append(SpecFault(line, column, render_path(path), rule, message, source))

    def _wrong_type(self, node: AnyNode, path: Path, wanted: str) -> None:
        found = {Sequence: "a list", Mapping: "a mapping", Alias: "an alias"}.get(type(node)) or (
            repr(node.value) if isinstance(node, Scalar) else "something else"
        )
        self._fault(node, path, "type", f"{found} where {wanted} belongs", JSON)

    def _scalar(self, node: Scalar, path: Path) -> scalars.GoScalar:
        try:
            return scalars.resolve(node.tag, node.plain, node.value)
        except scalars.ScalarRefused as error:
            self._fault(node, path, "tag", str(error), "sigs.k8s.io/yaml goyaml.v2/resolve.go")
            return None

    def value(self, node: AnyNode, path: Path, want: Field) -> object:
        """The value of one field, None for a null and where there is a fault."""
        if isinstance(node, Alias):
            return self.value(node.target, path, want)
        if isinstance(node, Scalar):
            return self._scalar_value(node, path, want)
        match want.kind:
            case Kind.STRUCT | Kind.POINTER if want.of is not None and isinstance(node, Mapping):
                return self._struct(node, path, want.of)
            case Kind.STRUCTS | Kind.POINTERS if want.of is not None and isinstance(node, Sequence):
                return self._structs(node, path, want, want.of)
            case Kind.STRINGS | Kind.UINT32S if isinstance(node, Sequence):
                return self._list(node, path, want)
            case Kind.STRING_MAP if isinstance(node, Mapping):
                return self._string_map(node, path)
            case _:
                self._wrong_type(node, path, _wanted(want.kind))
                return None

    def _scalar_value(self, node: Scalar, path: Path, want: Field) -> object:
        value = self._scalar(node, path)
        if value is None:
            return None
        if want.kind is Kind.STRING:
            return scalars.as_text(value)
        if want.kind is Kind.BOOL and isinstance(value, bool):
            return value
        if want.kind in _INTEGERS and isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._integer(node, path, value, want.kind)
        self._wrong_type(node, path, _wanted(want.kind))
        return None

    def _integer(self, node: Scalar, path: Path, value: float, kind: Kind) -> int | None:
        number = scalars.as_integer(value)
        low, high = INTEGER_RANGES[kind]
        if number is None or not low <= number <= high or (low == 0 and str(value) == "-0.0"):
            self._fault(node, path, "number", f"{node.value} is no integer from {low} to {high}", JSON)
            return None
        return number

    def _struct(self, node: AnyNode, path: Path, cls: type[Any]) -> object | None:
        if not isinstance(node, Mapping):
            self._wrong_type(node, path, _wanted(Kind.STRUCT))
            return None
        values: dict[str, object] = {}
        from_key: dict[str, str] = {}
        for key, (key_node, value_node) in self._entries(node, path).items():
            known = find_field(cls, key, self.library)
            if known is None:
                message = f"unknown field {key!r}, known: {names(cls, self.library)}"
                self._fault(key_node, (*path, key), "unknown-field", message, JSON)
                continue
            value = self.value(value_node, (*path, key), known)
            if value is None:
                continue
            if known.attribute in values and known.kind not in _SCALARS:
                self._fault(key_node, (*path, key), "duplicate-key", f"{key!r} means {known.name!r} again", JSON)
            elif key > from_key.get(known.attribute, ""):
                # of two spellings of one field the library takes the last in sorted order
                values[known.attribute] = value
                from_key[known.attribute] = key
        decoded: object = cls(**values, line=node.line)
        return decoded

    def _structs(self, node: Sequence, path: Path, want: Field, cls: type[Any]) -> tuple[object | None, ...]:
        single = Field(want.name, want.attribute, Kind.STRUCT, cls)
        zero = cls() if want.kind is Kind.STRUCTS else None
        items = [self.value(item, (*path, index), single) or zero for index, item in enumerate(node.items)]
        return tuple(items)

    def _list(self, node: Sequence, path: Path, want: Field) -> tuple[object, ...]:
        kind, zero = (Kind.STRING, "") if want.kind is Kind.STRINGS else (Kind.UINT32, 0)
        single = Field(want.name, want.attribute, kind)
        items = [self.value(item, (*path, index), single) for index, item in enumerate(node.items)]
        return tuple(zero if item is None else item for item in items)

    def _string_map(self, node: Mapping, path: Path) -> tuple[tuple[str, object], ...]:
        single = Field("", "", Kind.STRING)
        entries = self._entries(node, path).items()
        values = {key: self.value(value, (*path, key), single) or "" for key, (_, value) in entries}
        return tuple(sorted(values.items()))

    def _entries(self, node: Mapping, path: Path) -> MappingOf[str, tuple[AnyNode, AnyNode]]:
        """Keys as text with their nodes; merge keys are followed, a key that comes twice is a fault."""
        entries: dict[str, tuple[AnyNode, AnyNode]] = {}
        # a stack, since a chain of merge keys may be as long as the text
        pending = [iter(node.items)]
        while pending:
            for key_node, value_node in pending[-1]:
                if merges(key_node):
                    pending += [iter(source.items) for source in self._sources(value_node, path)]
                    break
                key = self._key(key_node, path)
                if key is not None:
                    self._add(entries, key, key_node, value_node, path)
            else:
                pending.pop()
        return entries

    def _add(
        self, entries: dict[str, tuple[AnyNode, AnyNode]], key: str, key_node: AnyNode, value: AnyNode, path: Path
    ) -> None:
        if key in entries:
            first = entries[key][0].line
            self._fault(
                key_node,
                (*path, key),
                "duplicate-key",
                f"key {key!r} already set at line {first}",
                DECODER,
            )
            return
        entries[key] = (key_node, value)

    def _key(self, node: AnyNode, path: Path) -> str | None:
        target = node.target if isinstance(node, Alias) else node
        value = self._scalar(target, path) if isinstance(target, Scalar) else None
        if value is None:
            self._fault(node, path, "key", "a key that is no string, number or boolean", STRICT)
            return None
        return scalars.as_text(value)

    def _sources(self, node: AnyNode, path: Path) -> Iterator[Mapping]:
        """The mappings of a merge key's value; under the strict rule any overlap of theirs is refused."""
        for source in node.items if isinstance(node, Sequence) else (node,):
            target = source.target if isinstance(source, Alias) else source
            if isinstance(target, Mapping):
                yield target
            else:
                self._fault(source, path, "merge", "map merge requires map or sequence of maps as the value", DECODER)


def _wanted(kind: Kind) -> str:
    return _NAMES.get(kind) or (
        "an integer"
        if kind in _INTEGERS
        else "a list"
        if kind in (Kind.STRINGS, Kind.UINT32S, Kind.STRUCTS, Kind.POINTERS)
        else "a mapping"
    )
