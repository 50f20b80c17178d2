"""The JSON schema of a stack file, made from the models: for editors, by the YAML language server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from talos_gpu.project import PROJECT
from talos_gpu.settings import rules
from talos_gpu.settings.model import Settings
from talos_gpu.settings.reference import COSTS, EXAMPLES, _kind, paths

DIALECT = "http://json-schema.org/draft-07/schema#"
"""What the YAML language server reads."""
_LONGEST = 63
_PATTERNS: tuple[tuple[Any, re.Pattern[str], int], ...] = (
    (rules.Name, rules._LABEL_RE, _LONGEST),
    (rules.NodeName, rules._SUBDOMAIN_RE, _LONGEST),
    (rules.TalosVersion, rules._TALOS_RE, 0),
    (rules.DriverVersion, rules._DRIVER_RE, 0),
    (rules.Quantity, rules._QUANTITY_RE, 0),
    (rules.Image, rules._IMAGE_RE, 0),
    (rules.Url, rules._URL_RE, 0),
)
_BY_VALIDATOR = {id(get_args(alias)[1]): (pattern, longest) for alias, pattern, longest in _PATTERNS}
_NAMED_GROUP = re.compile(r"\(\?P<\w+>")
"""Python's alone; JSON schema's patterns are ECMAScript's."""
_SECURE = {
    "type": "object",
    "title": "Encrypted value",
    "required": ["secure"],
    "properties": {
        "secure": {"type": "string", "description": "Ciphertext, as `pulumi config set --secret` writes it."}
    },
    "additionalProperties": False,
}
_PULUMI = {
    "secretsprovider": {"type": "string", "description": "Pulumi's: how secrets are encrypted."},
    "encryptedkey": {"type": "string", "description": "Pulumi's: the encrypted data key."},
    "encryptionsalt": {"type": "string", "description": "Pulumi's: the salt of the passphrase."},
    "environment": {"description": "Pulumi's: environments whose values are merged in."},
}


def stack_schema() -> dict[str, Any]:
    """The schema of `Pulumi.STACK.yaml`. Other projects' and providers' keys are left alone."""
    made = Settings.model_json_schema(mode="validation")
    definitions: dict[str, Any] = made["$defs"]
    for model, name, path, field in _fields():
        into = made["properties"] if model is Settings else definitions[model.__name__]["properties"]
        _complete(into[name], path, field)
    keys = {f"{PROJECT}:{name}": _or_secure(schema) for name, schema in made["properties"].items()}
    others = "|".join(f"{re.escape(name)}$" for name in Settings.model_fields)
    return {
        "$schema": DIALECT,
        "title": f"Stack file of {PROJECT}",
        "description": "One stack is one Talos node with an NVIDIA GPU. Every key is explained in docs/settings.md.",
        "type": "object",
        "required": ["config"],
        "properties": {
            **_PULUMI,
            "config": {
                "type": "object",
                "description": "Settings, each under its project's name.",
                "required": [f"{PROJECT}:{name}" for name in made["required"]],
                "properties": keys,
                "patternProperties": {f"^{PROJECT}:(?!{others})": False},
            },
        },
        "additionalProperties": False,
        "definitions": _moved(definitions),
    }


def _fields() -> Iterator[tuple[type[BaseModel], str, str, FieldInfo]]:
    """(model, field name, path, field) of every field."""
    models: dict[str, type[BaseModel]] = {"": Settings}
    for path, field in paths():
        above, _, name = path.rpartition(".")
        yield models[above], name, path, field
        for model in _models(field.annotation):
            models[path] = models[f"{path}[]"] = model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 (types)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _complete(schema: dict[str, Any], path: str, field: FieldInfo) -> None:
    """Add example, pattern and what a change costs."""
    _, _, example = _kind(field.annotation, field.metadata)
    if path in EXAMPLES or example:
        schema["examples"] = [EXAMPLES.get(path) or yaml.safe_load(example.strip("`"))]
    schema["title"] = field.title
    schema["description"] = f"{field.description}" + (f" A change costs: {COSTS[path]}." if path in COSTS else "")
    rule = next(_rules(field.annotation, field.metadata), None)
    if rule is not None:
        for text in [schema, *schema.get("anyOf", ())]:
            if text.get("type") == "string":
                pattern, longest = rule
                text["pattern"] = f"^({_NAMED_GROUP.sub('(?:', pattern.pattern)})$"
                text.update({"maxLength": longest} if longest else {})


def _rules(annotation: Any, metadata: Any) -> Iterator[tuple[re.Pattern[str], int]]:  # noqa: ANN401 (types)
    for item in metadata:
        if isinstance(item, AfterValidator) and id(item) in _BY_VALIDATOR:
            yield _BY_VALIDATOR[id(item)]
    if get_origin(annotation) is Annotated:
        yield from _rules(None, get_args(annotation)[1:])
    else:
        for inner in get_args(annotation):
            yield from _rules(inner, ())


def _or_secure(schema: dict[str, Any]) -> dict[str, Any]:
    moved = _moved(schema)
    about = {key: moved[key] for key in ("title", "description") if key in moved}
    return {**about, "if": {"type": "object", "required": ["secure"]}, "then": _SECURE, "else": moved}


def _moved(schema: Any) -> Any:  # noqa: ANN401 (JSON)
    """References below `definitions`, as draft-07 has it."""
    match schema:
        case {"$ref": str(reference), **rest} if rest:
            return {"allOf": [_moved({"$ref": reference})], **_moved(rest)}
        case {"$ref": str(reference)}:
            return {"$ref": reference.replace("#/$defs/", "#/definitions/")}
        case dict():
            return {key: _moved(value) for key, value in schema.items()}
        case list():
            return [_moved(value) for value in schema]
        case _:
            return schema
