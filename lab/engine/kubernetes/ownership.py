"""Who manages which fields (await.go, fixCSAFieldManagers and patchForce).

An object made by POST has its maker as an Update manager; server-side apply by the same name would conflict with it.
So before an update the fields of such managers, and of kubectl, are handed to our Apply entry.
"""

from __future__ import annotations

import secrets
from typing import Any

from lab.engine.kubernetes.objects import PATCH_FIELD_MANAGER, PATCH_FORCE, annotation, is_true, metadata
from lab.engine.kubernetes.wire import Object

STATE_KEY = "__fieldManager"
_OURS = ("pulumi-kubernetes", "pulumi-resource-kubernetes")
_ADOPTED = (
    ("kubectl", "Apply"),
    ("kubectl", "Update"),
    ("before-first-apply", "Update"),
    *((name, "Update") for name in _OURS),
)


def manager_of(inputs: Object, state: Object) -> str:
    """The field manager: the annotation's, else the state's, else a new one."""
    return annotation(inputs, PATCH_FIELD_MANAGER) or state.get(STATE_KEY) or f"{_OURS[0]}-{secrets.token_hex(4)}"


def adoption(live: Object, manager: str) -> list[Object]:
    """JSON patch operations that hand the fields of adopted managers to `manager`; empty when there is nothing."""
    entries: list[Object] = metadata(live).get("managedFields") or []
    adopted = [entry for entry in entries if _is_adopted(entry)]
    if not adopted:
        return []
    own = [entry for entry in entries if entry["manager"] == manager and entry["operation"] == "Apply"]
    kept = [entry for entry in entries if entry not in adopted and entry not in own]
    fields: Object = {}
    for entry in (*own, *adopted):
        fields = _union(fields, entry.get("fieldsV1") or {})
    merged = {**(own or adopted)[0], "manager": manager, "operation": "Apply", "fieldsV1": fields}
    merged.pop("subresource", None)
    version = metadata(live)["resourceVersion"]
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": [*kept, merged]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
    ]


def _is_adopted(entry: Object) -> bool:
    return not entry.get("subresource") and any(
        str(entry["manager"]).startswith(prefix) and entry["operation"] == operation for prefix, operation in _ADOPTED
    )


def _union(one: Any, other: Any) -> Any:  # noqa: ANN401 (JSON)
    if not isinstance(one, dict) or not isinstance(other, dict):
        return other
    return {**one, **{key: _union(one.get(key, {}), value) for key, value in other.items()}}


def forced(inputs: Object, live: Object, *, always: bool, preview: bool) -> bool:
    """Whether conflicts are overridden; a preview also does it where an update would adopt our own fields first."""
    if always or is_true(inputs, PATCH_FORCE):
        return True
    entries: list[Object] = metadata(live).get("managedFields") or []
    return preview and any(
        entry["operation"] == "Update" and str(entry["manager"]).startswith(_OURS) for entry in entries
    )
