"""What of a faulty part is right by itself, so that it can be judged together with the others all the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError


def right(model: type[BaseModel], raw: object) -> Mapping[str, Any]:
    """Values by field: given ones that are right, and defaults; a wrong one, and a missing one, has no entry.

    Models below, and lists of them, are such mappings themselves, so that a fault in one leaves the rest of it.
    """
    if not isinstance(raw, Mapping):
        return {}
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if name not in raw:
            if not field.is_required():
                found[name] = _plain(field.get_default(call_default_factory=True))
            continue
        value, below = raw[name], model_of(field.annotation)
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(cast("Any", Annotated[field.annotation, field]))
            found[name] = _plain(adapter.validate_json(json.dumps(value), strict=True))
        except ValidationError:
            if below is not None and isinstance(value, Mapping):
                found[name] = right(below, value)
            elif below is not None and isinstance(value, list):
                found[name] = [right(below, item) for item in value]
    return found


def _plain(value: Any) -> Any:  # noqa: ANN401 (a setting's value)
    if isinstance(value, BaseModel):
        return {name: _plain(inner) for name, inner in value}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def model_of(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 (types)
    """The model that an annotation is, may be, or is a list of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, tuple):
        return next((model for model in map(model_of, get_args(annotation)) if model is not None), None)
    return None
