"""From a stack's configuration to the settings: every fault at once."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from talos_gpu.project import PROJECT
from talos_gpu.settings.cdi import Cdi
from talos_gpu.settings.combinations import combinations
from talos_gpu.settings.faults import Fault, SettingsInvalid, did_you_mean, shown
from talos_gpu.settings.machine import Machine, Node
from talos_gpu.settings.model import Settings, base_path
from talos_gpu.settings.right import model_of, right
from talos_gpu.settings.tdarr import Tdarr

_HIDDEN = "[secret]"
_STRINGS = frozenset(("talosconfig", "talos_context", "kubeconfig"))
_JUDGED: Mapping[str, type[BaseModel]] = {"node": Node, "cdi": Cdi, "tdarr": Tdarr}
"""The parts that are judged together."""
_KEY = "[key]"
"""Pydantic's word in a place: the fault is the key's, not its value's."""
_MESSAGES = {
    "missing": "is missing",
    "string_type": "is not text (quote it in YAML)",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "bool_type": "is neither true nor false",
    "model_type": "is not a mapping",
    "model_attributes_type": "is not a mapping",
    "dict_type": "is not a mapping",
    "tuple_type": "is not a list",
}


def load(values: Mapping[str, Any], secret: Collection[str] = ()) -> Settings:
    """As `parse`, and the files that the settings name must be there. Raises SettingsInvalid with every fault."""
    parts, faults = _parts(values, secret)
    return _settings(parts, [*faults, *_missing_files(right(Machine, _value("machine", values)).get("base"))])


def parse(values: Mapping[str, Any], secret: Collection[str] = ()) -> Settings:
    """The settings from configuration values by key; structured ones may be JSON text, as Pulumi gives them.

    `secret` names the keys whose values no message may show. Raises SettingsInvalid with every fault.
    """
    return _settings(*_parts(values, secret))


def _settings(parts: Mapping[str, Any], faults: Sequence[Fault]) -> Settings:
    if faults:
        raise SettingsInvalid(faults)
    return Settings(**parts)


def _parts(values: Mapping[str, Any], secret: Collection[str]) -> tuple[Mapping[str, Any], list[Fault]]:
    """The parts that are right, by key, and the faults of all."""
    unknown = sorted(values.keys() - Settings.model_fields.keys())
    faults = [
        Fault(key, "", "is not a key of this project", did_you_mean(key, Settings.model_fields)) for key in unknown
    ]
    parts: dict[str, Any] = {}
    for key, field in Settings.model_fields.items():
        value = _value(key, values)
        if value is None and field.is_required():
            faults.append(Fault(key, "", "is missing", f"set {PROJECT}:{key} in the stack's file"))
        elif value is not None:
            adapter: TypeAdapter[Any] = TypeAdapter(cast("Any", field.annotation))
            try:
                parts[key] = adapter.validate_json(json.dumps(value), strict=True)
            except ValidationError as error:
                faults += _faults(key, field.annotation, error.errors(), hidden=key in secret)
        else:
            parts[key] = field.get_default(call_default_factory=True)
    node, cdi, tdarr = (right(model, _value(key, values)) for key, model in _JUDGED.items())
    faults += combinations(node, cdi, tdarr, unproven=_unproven(parts))
    return parts, faults


def _unproven(parts: Mapping[str, Any]) -> bool:
    return bool(parts.get("verify")) and "tdarr" in parts and parts["tdarr"] is None


def _value(key: str, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 (JSON)
    value = values.get(key)
    if key in _STRINGS or not isinstance(value, str):
        return value or None
    try:
        return json.loads(value) or None
    except json.JSONDecodeError:
        return value or None


def _faults(key: str, annotation: Any, errors: Sequence[ErrorDetails], *, hidden: bool) -> Iterator[Fault]:  # noqa: ANN401
    for error in errors:
        place = tuple(part for part in error["loc"] if part != _KEY)
        path = key + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
        context = error.get("ctx") or {}
        kind = error["type"]
        value = "" if kind in {"missing", "extra_forbidden"} or context.get("whole") else shown(error["input"])
        value = _HIDDEN if hidden and value else value
        if kind == "extra_forbidden":
            known = _fields(annotation, place[:-1])
            yield Fault(path, "", "is not a known key", did_you_mean(str(place[-1]), known))
        elif kind == "literal_error":
            choices = [choice.strip("'") for choice in str(context["expected"]).replace(" or ", ", ").split(", ")]
            remedy = did_you_mean(str(error["input"]), choices)
            yield Fault(path, value, f"is none of {', '.join(choices)}", remedy if remedy.startswith("did") else "")
        else:
            rule = str(context.get("message") or _MESSAGES.get(kind) or _lowered(error["msg"]))
            yield Fault(path, value, rule, str(context.get("remedy") or ""))


def _lowered(message: str) -> str:
    text = message.removeprefix("Input ")
    return text[:1].lower() + text[1:]


def _fields(annotation: Any, place: Sequence[int | str]) -> Collection[str]:  # noqa: ANN401
    """The keys of the model that is at a place below an annotation."""
    model = model_of(annotation)
    for part in place:
        if isinstance(part, str) and model is not None:
            field = model.model_fields.get(part)
            model = model_of(field.annotation) if field is not None else None
    return model.model_fields if model is not None else ()


def _missing_files(base: str | None) -> Iterator[Fault]:
    if base is not None and not base_path(base).is_file():
        remedy = "save the node's machine config there (without the GPU parts), or name its path in machine.base"
        yield Fault("machine.base", shown(base), "is not a file", remedy)
