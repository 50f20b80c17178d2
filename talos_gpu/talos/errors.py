"""Everything that talos_gpu.talos raises on purpose.

TalosGpuError
├── ApiError                  a call of the machine API failed; names the call and the node
│   ├── Unreachable           no connection, or it was lost
│   │   └── DeadlineExceeded  connected or not, no answer in time
│   ├── CertificateRejected   one side did not accept the other's certificate
│   ├── PermissionDenied      the client certificate's roles do not allow the call
│   ├── ForwardingRefused     a worker does not forward to other nodes
│   ├── NotFound              no such file, service or resource
│   ├── InvalidConfig         the node refuses the machine config
│   ├── Unsupported           this Talos release has no such call
│   └── CallFailed            anything else that the node answered
├── CertificateExpired        the client certificate is not valid now
└── UsageError
    ├── TalosConfigInvalid    talosconfig cannot be used; carries every fault
    ├── UnknownRelease        no facts about this Talos release
    ├── MethodUnfit           the release cannot do what the method needs
    ├── MachineConfigInvalid  the base machine config cannot be read; carries every fault
    └── MachineConfigConflict the base and what we need exclude each other

No message holds key material: causes are named by our own words and the node's status text.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from talos_gpu.errors import TalosGpuError, UsageError


class ApiError(TalosGpuError):
    """A call of the machine API failed. `call` is the method's name, `node` where it was sent, `detail` the cause."""

    def __init__(self, call: str, node: str, detail: str, *, remedy: str = "") -> None:
        super().__init__(f"{call} on {node}: {detail}", remedy=remedy)
        self.call = call
        self.node = node
        self.detail = detail


class Unreachable(ApiError):
    """The machine API could not be connected to, or the connection was lost."""

    def __init__(self, call: str, node: str, detail: str) -> None:
        super().__init__(
            call,
            node,
            detail,
            remedy="check that the node is up, that the address is right and that nothing blocks its API port",
        )


class DeadlineExceeded(Unreachable):
    """No complete answer within the call's time; `seconds` is that time."""

    def __init__(self, call: str, node: str, seconds: float) -> None:
        super().__init__(call, node, f"no answer within {seconds:g} s")
        self.seconds = seconds


class CertificateRejected(ApiError):
    """TLS failed: the server's certificate is not the cluster's, or the server did not accept ours."""

    def __init__(self, call: str, node: str, detail: str) -> None:
        super().__init__(
            call,
            node,
            detail,
            remedy="use this cluster's talosconfig (another cluster's or an outdated one fails like this)",
        )


class PermissionDenied(ApiError):
    """The certificate's roles do not allow the call. `role_needed` is the least role that does."""

    def __init__(self, call: str, node: str, role_needed: str, roles: Sequence[str]) -> None:
        super().__init__(
            call,
            node,
            f"needs role {role_needed}, the certificate has {', '.join(roles) or 'none'}",
            remedy=f"use a talosconfig with {role_needed} (talosctl config new --roles {role_needed})",
        )
        self.role_needed = role_needed


class ForwardingRefused(ApiError):
    """The endpoint is a worker, which answers for itself only."""

    def __init__(self, call: str, node: str, endpoint: str) -> None:
        super().__init__(
            call,
            node,
            f"endpoint {endpoint} does not forward requests (a worker's API answers for itself only)",
            remedy="use a control-plane node as the endpoint, or the node's own address",
        )


class NotFound(ApiError):
    """No such file, service or resource on the node."""


class InvalidConfig(ApiError):
    """The node refuses the machine config; the detail is its own text."""

    def __init__(self, call: str, node: str, detail: str) -> None:
        super().__init__(call, node, detail, remedy="mend the machine config as the node's text says")


class Unsupported(ApiError):
    """This Talos release does not offer the call or the mode asked for."""


class CallFailed(ApiError):
    """The node answered with another failure. `status` is gRPC's name of it, such as INTERNAL."""

    def __init__(self, call: str, node: str, status: str, detail: str) -> None:
        super().__init__(call, node, f"{status}: {detail}")
        self.status = status


class CertificateExpired(TalosGpuError):
    """The client certificate is outside its time."""

    def __init__(self, context: str, not_before: datetime, not_after: datetime, now: datetime) -> None:
        early = now < not_before
        date = not_before if early else not_after
        super().__init__(
            f"the client certificate of talosconfig context {context!r} "
            f"{'is not valid before' if early else 'expired on'} {date:%Y-%m-%d %H:%M} UTC",
            remedy="check this machine's clock"
            if early
            else "make a new one: talosctl config new (or from secrets.yaml)",
        )


def _listed(faults: Sequence[str]) -> str:
    return "".join(f"\n  - {fault}" for fault in faults)


class TalosConfigInvalid(UsageError):
    """talosconfig cannot be used; `faults` has every reason."""

    def __init__(self, origin: str, faults: Sequence[str], *, remedy: str = "") -> None:
        super().__init__(f"{origin} is no usable talosconfig:{_listed(faults)}", remedy=remedy)
        self.faults = tuple(faults)


class UnknownRelease(UsageError):
    """Nothing is known of this Talos release, so nothing is done to it."""

    def __init__(self, version: str, reason: str) -> None:
        super().__init__(
            f"Talos {version}: {reason}",
            remedy="use a release between 1.7 and 1.14, or name the known release to treat it as",
        )


class MethodUnfit(UsageError):
    """The method does not work on this release; `fitting` are those that do."""

    def __init__(self, method: str, minor: str, reason: str, fitting: Sequence[str]) -> None:
        super().__init__(
            f"method {method} does not fit Talos {minor}: {reason}",
            remedy=f"choose one of: {', '.join(fitting)}",
        )


class MachineConfigInvalid(UsageError):
    """The base machine config cannot be read; `faults` has every reason, without the file's content."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(
            f"the base machine config cannot be used:{_listed(faults)}",
            remedy="check it with: talosctl validate --mode metal --config FILE",
        )
        self.faults = tuple(faults)


class MachineConfigConflict(UsageError):
    """What the base says and what the GPU needs exclude each other; `conflicts` has all of them."""

    def __init__(self, conflicts: Sequence[str], *, remedy: str) -> None:
        super().__init__(
            f"the base machine config conflicts with what the GPU needs:{_listed(conflicts)}", remedy=remedy
        )
        self.conflicts = tuple(conflicts)
