"""What the stack says, as a bundle carries it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self

from talos_gpu.doctor.bundle import META, Bundle
from talos_gpu.doctor.errors import Unread
from talos_gpu.settings import Settings
from talos_gpu.settings.rules import pinned


@dataclass(frozen=True, slots=True)
class Meta:
    """Facts of the stack and of who asks; None where there is no stack."""

    stack: str | None = None
    node: str | None = None
    release: str | None = None
    method: str | None = None
    hook: str | None = None
    runtime: str | None = None
    runtime_class: str | None = None
    handler: str | None = None
    gpu: str | None = None
    driver: str | None = None
    namespace: str | None = None
    """Of the worker; None without one."""
    server_url: str | None = None
    unpinned: tuple[str, ...] = ()
    upgrade_to: str | None = None
    """A Talos release that the node is about to get."""
    roles: tuple[str, ...] = ()
    certificates: Mapping[str, str] | None = None
    """End of validity (ISO 8601) by the file that it is in."""
    made: str | None = None
    """When the evidence was gathered, ISO 8601."""

    def required(self, name: str) -> str:
        """A fact that must be there; raises Unread."""
        value = getattr(self, name)
        if value is None:
            raise Unread(f"meta.json {name}", "no stack says it")
        return str(value)

    def as_json(self) -> dict[str, Any]:
        """As it is written."""
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """As it was written; unknown keys are passed over."""
        known = {name: value for name, value in document.items() if name in cls.__dataclass_fields__}
        for name in ("unpinned", "roles"):
            known[name] = tuple(known.get(name) or ())
        return cls(**known)

    @classmethod
    def of(cls, stack: str, settings: Settings, *, upgrade_to: str | None = None) -> Self:
        """Of a stack's settings."""
        cdi, tdarr = settings.cdi, settings.tdarr
        images = [cdi.image] if cdi.method == "spec" else []
        images += [tdarr.image] if tdarr is not None else []
        return cls(
            stack=stack,
            node=settings.node.name,
            release=settings.node.release,
            method=cdi.method,
            hook=cdi.hook,
            runtime=cdi.runtime,
            runtime_class=cdi.runtime_class_name if cdi.runtime == "runtime-class" else None,
            handler=cdi.handler,
            gpu=settings.node.gpu.model,
            driver=settings.node.gpu.driver,
            namespace=tdarr.namespace.name if tdarr is not None else None,
            server_url=tdarr.server_url if tdarr is not None else None,
            unpinned=tuple(image for image in images if not pinned(image)),
            upgrade_to=upgrade_to,
            made=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def before_upgrade(bundle: Bundle, release: str) -> Bundle:
    """Saved evidence as of a node that is about to get a release; raises Unread where its meta.json has another form.

    Outputs saved by hand have no stack: what else it would say stays unknown.
    """
    document = bundle.json(META) if META in bundle.texts else {}
    if not isinstance(document, dict):
        raise Unread(META, "it is no object")
    return Bundle({**bundle.texts, META: json.dumps({**document, "upgrade_to": release}, indent=1)}, bundle.unread)
