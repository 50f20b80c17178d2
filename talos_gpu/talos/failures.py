"""From what gRPC, TLS and sockets say to talos_gpu.talos.errors: the only place that knows both."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from grpclib.const import Status

from talos_gpu.talos.errors import (
    ApiError,
    CallFailed,
    CertificateRejected,
    DeadlineExceeded,
    ForwardingRefused,
    InvalidConfig,
    NotFound,
    PermissionDenied,
    Unreachable,
    Unsupported,
)
from talos_gpu.talos.redaction import redact

_ADMIN = "os:admin"
_ROLES = ("os:reader", "os:operator", _ADMIN)
_NO_SUCH_FILE = "no such file or directory"


@dataclass(frozen=True, slots=True)
class Call:
    """Where a call goes and who makes it; what an error about it has to say."""

    name: str
    role: str
    """The least role that Talos lets make it."""
    endpoint: str
    node: str
    roles: tuple[str, ...]
    """The caller's."""
    timeout: float
    """Seconds, all attempts together."""


def of_status(call: Call, status: Status, message: str) -> ApiError:
    """Return the error for a gRPC status, in the trailers or in-band."""
    detail = redact(message) or "no text with it"
    match status:
        case Status.UNAVAILABLE:
            return Unreachable(call.name, call.node, detail)
        case Status.DEADLINE_EXCEEDED:
            return DeadlineExceeded(call.name, call.node, call.timeout)
        case Status.PERMISSION_DENIED if "no request forwarding" in message:
            return ForwardingRefused(call.name, call.node, call.endpoint)
        case Status.PERMISSION_DENIED if not _has(call.roles, _ADMIN):
            # A role that may make the call is still denied what is sensitive (MachineConfigs): that takes os:admin.
            needed = _ADMIN if _has(call.roles, call.role) else call.role
            return PermissionDenied(call.name, call.node, needed, call.roles)
        case Status.NOT_FOUND:
            return NotFound(call.name, call.node, detail)
        case Status.UNIMPLEMENTED:
            return Unsupported(call.name, call.node, detail)
        case Status.INVALID_ARGUMENT if call.name == "ApplyConfiguration":
            return InvalidConfig(call.name, call.node, detail)
        case _ if _NO_SUCH_FILE in message:
            return NotFound(call.name, call.node, detail)
        case _:
            return CallFailed(call.name, call.node, status.name, detail)


def of_connecting(call: Call, error: OSError) -> ApiError:
    """Return the error for a connection that was not made."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateRejected(call.name, call.node, f"the server's certificate: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return of_lost(call, error)
    if isinstance(error, ConnectionResetError):
        detail = f"{call.endpoint} closed the connection at the handshake (it may not accept the client certificate)"
        return Unreachable(call.name, call.node, detail)
    return Unreachable(call.name, call.node, f"cannot connect to {call.endpoint}: {_system_text(error)}")


def of_lost(call: Call, cause: BaseException | None) -> ApiError:
    """Return the error for a connection that ended before the answer."""
    if isinstance(cause, ssl.SSLError):
        reason = (cause.reason or "TLS failed").lower().replace("_", " ")
        if "alert" in reason:
            return CertificateRejected(
                call.name, call.node, f"the server did not accept the client certificate ({reason})"
            )
        return Unreachable(call.name, call.node, f"no TLS at {call.endpoint} ({reason})")
    because = f": {_system_text(cause)}" if isinstance(cause, OSError) else ""
    return Unreachable(call.name, call.node, f"connection lost{because}")


def _has(roles: tuple[str, ...], needed: str) -> bool:
    enough = _ROLES[_ROLES.index(needed) :]
    return any(role in enough for role in roles)


def _system_text(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
