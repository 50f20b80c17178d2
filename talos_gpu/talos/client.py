"""The Talos machine API, as far as we use it.

Methods and roles as in siderolabs/talos api/machine/machine.proto and internal/app/machined (v1.11.6): reading a file
and applying a config need os:admin, a reboot os:operator, everything else os:reader.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import yaml
from google.protobuf.empty_pb2 import Empty

from talos_gpu.talos.credentials import Credentials, TalosConfig
from talos_gpu.talos.endpoint import PORT, forwarded_to
from talos_gpu.talos.messages import ApplyMode, ApplyResult, FileEntry, Resource, Service, Version
from talos_gpu.talos.proto import common_pb2, machine_pb2, state_pb2
from talos_gpu.talos.redaction import redact
from talos_gpu.talos.transport import Method, Transport

_APPLY_SECONDS = 60.0
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_AnswerT = TypeVar("_AnswerT")

_READER, _OPERATOR, _ADMIN = "os:reader", "os:operator", "os:admin"
_MACHINE = "/machine.MachineService/"
_VERSION = Method(_MACHINE + "Version", Empty, machine_pb2.VersionResponse, _READER)
_READ = Method(_MACHINE + "Read", machine_pb2.ReadRequest, common_pb2.Data, _ADMIN, streams=True)
_LIST = Method(_MACHINE + "List", machine_pb2.ListRequest, machine_pb2.FileInfo, _READER, streams=True)
_SERVICES = Method(_MACHINE + "ServiceList", Empty, machine_pb2.ServiceListResponse, _READER)
_DMESG = Method(_MACHINE + "Dmesg", machine_pb2.DmesgRequest, common_pb2.Data, _READER, streams=True)
_LOGS = Method(_MACHINE + "Logs", machine_pb2.LogsRequest, common_pb2.Data, _READER, streams=True)
_APPLY = Method(
    _MACHINE + "ApplyConfiguration",
    machine_pb2.ApplyConfigurationRequest,
    machine_pb2.ApplyConfigurationResponse,
    _ADMIN,
    repeatable=False,
)
_REBOOT = Method(
    _MACHINE + "Reboot", machine_pb2.RebootRequest, machine_pb2.RebootResponse, _OPERATOR, repeatable=False
)
_STATE_GET = Method("/cosi.resource.State/Get", state_pb2.GetRequest, state_pb2.GetResponse, _READER)
_STATE_LIST = Method("/cosi.resource.State/List", state_pb2.ListRequest, state_pb2.ListResponse, _READER, streams=True)


class MachineClient:
    """One node's machine API: `async with MachineClient(credentials, "192.168.1.194") as client: ...`.

    `endpoint` is what is dialled (`host` or `host:port`, verified by the certificate's names and addresses), `node` the
    one meant where that is another (a control plane forwards, a worker does not). `timeout`, in seconds, holds for
    every call, retries included. Calls may run concurrently; they share one connection.
    Entering raises CertificateExpired; calls raise ApiError.
    """

    def __init__(
        self,
        credentials: Credentials,
        endpoint: str,
        node: str | None = None,
        port: int = PORT,
        *,
        timeout: float = 10.0,
        attempts: int = 3,
    ) -> None:
        self.credentials = credentials
        self.endpoint = endpoint
        self.node = node or endpoint
        self._connect = partial(Transport, credentials, endpoint, node, port, timeout, attempts=attempts)
        self._open: Transport | None = None

    async def __aenter__(self) -> Self:
        self.credentials.require_valid()
        self._open = self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is not None:
            await self._open.close()
            self._open = None

    @property
    def _transport(self) -> Transport:
        if self._open is None:
            raise RuntimeError("MachineClient is used outside of `async with`")
        return self._open

    async def version(self) -> Version:
        """Return the node's Talos release."""
        [reply] = await self._transport.call(_VERSION, Empty())
        answer = _only(reply.messages)
        return Version(
            tag=answer.version.tag,
            sha=answer.version.sha,
            arch=answer.version.arch,
            platform=answer.platform.name,
        )

    async def read(self, path: str) -> bytes:
        """Return a regular file's content (role os:admin); raise NotFound if there is none."""
        chunks = await self._transport.call(_READ, machine_pb2.ReadRequest(path=path))
        return b"".join(chunk.chunk for chunk in chunks)

    async def list(self, path: str) -> Sequence[FileEntry]:
        """Return a folder's entries, by name. One that the node cannot look at has `error` set; NotFound: no folder."""
        replies = await self._transport.call(_LIST, machine_pb2.ListRequest(root=path))
        entries = [_file_entry(reply) for reply in replies]
        for entry in entries:
            if entry.error and entry.path in {"", ".", path}:
                raise self._transport.failure(_LIST, entry.error)
        return sorted((entry for entry in entries if entry.path not in {"", "."}), key=lambda entry: entry.path)

    async def services(self) -> Sequence[Service]:
        """Return the services of the node's init, extension services (`ext-...`) among them."""
        [reply] = await self._transport.call(_SERVICES, Empty())
        return [
            Service(
                id=service.id,
                state=service.state,
                healthy=None if service.health.unknown else service.health.healthy,
                last_message=service.health.last_message,
            )
            for service in _only(reply.messages).services
        ]

    async def dmesg(self) -> str:
        """Return the kernel's log, a message a line."""
        chunks = await self._transport.call(_DMESG, machine_pb2.DmesgRequest())
        return "".join(_line(chunk.chunk) for chunk in chunks)

    async def logs(self, service: str, tail_lines: int | None = None) -> str:
        """Return a service's log, or the last `tail_lines` of it."""
        request = machine_pb2.LogsRequest(
            namespace="system", id=service, tail_lines=-1 if tail_lines is None else tail_lines
        )
        chunks = await self._transport.call(_LOGS, request)
        return b"".join(chunk.chunk for chunk in chunks).decode(errors="replace")

    async def apply_configuration(
        self,
        config: str | bytes,
        mode: ApplyMode = ApplyMode.AUTO,
        *,
        dry_run: bool = False,
        seconds: float = _APPLY_SECONDS,
    ) -> ApplyResult:
        """Apply a whole machine config, or with `dry_run` ask what that would do (role os:admin).

        Never retried. Raises InvalidConfig with the node's text if it refuses the config or the mode, Unsupported if
        the release has no such mode. `details` is the node's text with what may be secret taken out.
        """
        request = machine_pb2.ApplyConfigurationRequest(
            data=config.encode() if isinstance(config, str) else config,
            mode=mode.name,
            dry_run=dry_run,
        )
        [reply] = await self._transport.call(_APPLY, request, seconds=seconds)
        answer = _only(reply.messages)
        return ApplyResult(
            mode=ApplyMode[machine_pb2.ApplyConfigurationRequest.Mode.Name(answer.mode)],
            details=redact(answer.mode_details),
            warnings=tuple(answer.warnings),
        )

    async def reboot(self) -> None:
        """Ask for a reboot (role os:operator); returns when the node has agreed, not when it is back."""
        await self._transport.call(_REBOOT, machine_pb2.RebootRequest())

    async def resource_get(self, type: str, id: str, namespace: str = "runtime") -> Resource:
        """Return one resource; `type` in full: `MachineStatuses.runtime.talos.dev`. Raises NotFound."""
        [reply] = await self._transport.call(_STATE_GET, state_pb2.GetRequest(namespace=namespace, type=type, id=id))
        return _resource(reply.resource)

    async def resource_list(self, type: str, namespace: str = "runtime") -> Sequence[Resource]:
        """Return all resources of a type."""
        replies = await self._transport.call(_STATE_LIST, state_pb2.ListRequest(namespace=namespace, type=type))
        return [_resource(reply.resource) for reply in replies]


def dialled(talosconfig: str | None, context: str | None, endpoint: str, address: str) -> MachineClient:
    """A client of the node at `address` through `endpoint`, by a talosconfig's path (empty: the usual place) and its
    context (empty: the current one).

    Raises TalosConfigInvalid.
    """
    credentials = TalosConfig.load(talosconfig or None, context or None)
    return MachineClient(credentials, endpoint, forwarded_to(endpoint, address))


def _only(messages: Sequence[_AnswerT]) -> _AnswerT:
    """Return one node's answer; a call without the metadata `nodes` has exactly one."""
    if len(messages) != 1:
        raise ValueError(f"one node was asked, {len(messages)} answered")
    return messages[0]


def _line(message: bytes) -> str:
    text = message.decode(errors="replace")
    return text if text.endswith("\n") else text + "\n"


def _file_entry(info: machine_pb2.FileInfo) -> FileEntry:
    return FileEntry(
        name=posixpath.basename(info.name) or info.name,
        path=info.relative_name,
        size=info.size,
        mode=info.mode,
        is_dir=info.is_dir,
        link=info.link,
        error=info.error,
    )


def _resource(resource: state_pb2.Resource) -> Resource:
    metadata = resource.metadata
    text = resource.spec.yaml_spec
    [spec, *more] = list(yaml.load_all(text, Loader=_LOADER)) or [None]  # a machine config may be several documents
    if isinstance(spec, str) and not more:
        text = spec  # machinery 1.13.9 hands a machine config as one YAML string, 1.11.6 as it is
    return Resource(
        namespace=metadata.namespace,
        type=metadata.type,
        id=metadata.id,
        version=metadata.version,
        phase=metadata.phase,
        spec=spec if isinstance(spec, dict) and not more else {},
        text=text,
    )
