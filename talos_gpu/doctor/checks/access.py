"""Who asks: certificates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from talos_gpu.doctor.errors import Unread
from talos_gpu.doctor.finding import Check, Severity
from talos_gpu.doctor.view import View

_SOON = timedelta(days=30)


def _expiring(view: View) -> Iterator[str]:
    if view.meta.certificates is None:
        raise Unread("meta.json certificates", "no credentials were read")
    for origin, end in view.meta.certificates.items():
        left = datetime.fromisoformat(end) - view.now
        if left < _SOON:
            when = "has expired" if left < timedelta() else f"expires in {left.days} days"
            yield f"the client certificate of {origin} {when} ({end[:10]})"


CHECKS = (
    Check(
        "certificate-expiring",
        Severity.WARNING,
        "Client certificates of Talos and Kubernetes live for a year; then neither pulumi nor talosctl gets in.",
        "talosctl config new --roles os:admin NEW (talosconfig); talosctl kubeconfig (kubeconfig)",
        "Talos docs, Role-based access control",
        _expiring,
    ),
)
