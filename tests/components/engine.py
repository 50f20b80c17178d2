"""A mock engine that keeps what the program registered, options included."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import json
import logging
import runpy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.proto import resource_pb2
from typing_extensions import override

PROJECT = Path(__file__).parents[2]
NAMESPACE = "talos-nvidia-cdi"

SPEC = {
    "text": "patched",
    "sha256": "5" * 64,
    "source_sha256": "6" * 64,
    "devices": ["0", "all"],
    "hooks": ["/usr/local/bin/nvidia-cdi-hook.real"],
    "driver_version": "535.247.01",
    "facts_file": "facts",
    "strategy": "real",
    "install_token": "",
}
OUTPUTS: Mapping[str, Mapping[str, Any]] = {
    "pulumi-python:dynamic/talos:MachineState": {
        "token": "machine-token",
        "boot_id": "boot-1",
        "mode": "staged",
        "reboot": "request",
        "reboot_after": "none",
        "reboot_expected": True,
        "facts": {},
    },
    "talos:machine/configurationApply:ConfigurationApply": {
        "machineConfigurationHash": "config-hash",
        "resolvedApplyMode": "auto",
    },
    "pulumi-python:dynamic/talos:MachineReady": {
        "boot_id": "boot-2",
        "facts": {"driver": "535.247.01", "talos": "v1.11.1"},
        "reboot_pending": False,
    },
    "pulumi-python:dynamic/talos:MachineRestarted": {"boot_id": "boot-2", "facts": {}, "reboot_pending": False},
    "pulumi-python:dynamic/cdi:Source": {"token": "source-token", "driver": "535.247.01", "toolkit": "1.17.8"},
    "pulumi-python:dynamic/cdi:Spec": SPEC,
    "pulumi-python:dynamic/gpu:Verified": {"proofs": {"hevc_nvenc": "60 frames encoded."}, "pretended": False},
}
"""What the resources' providers would answer."""


@dataclass(frozen=True)
class Registered:
    """One RegisterResource request."""

    type: str
    name: str
    urn: str
    inputs: dict[str, Any]
    secrets: frozenset[str]
    """Inputs that were secret."""
    request: resource_pb2.RegisterResourceRequest = field(repr=False)

    @property
    def parent(self) -> str:
        """Name of the parent."""
        return self.request.parent.rpartition("::")[2]

    @property
    def kind(self) -> str:
        """The last word of the type."""
        return self.type.rpartition(":")[2].rpartition("/")[2]


class Run:
    """What one run of the program registered, in order."""

    def __init__(self, resources: list[Registered], exports: Mapping[str, Any], log: Sequence[str]) -> None:
        self.resources, self.exports, self.log = resources, exports, log

    def one(self, kind: str) -> Registered:
        """The only resource of a kind, such as `Job`."""
        [found] = [resource for resource in self.resources if resource.kind == kind]
        return found

    def kinds(self) -> list[str]:
        """Kinds in the order of registration."""
        return [resource.kind for resource in self.resources]

    def dependencies(self, kind: str) -> set[str]:
        """Kinds that a resource waits for, by its own request."""
        return {urn.split("::")[2].rpartition("$")[2].rpartition(":")[2] for urn in self.one(kind).request.dependencies}


@contextlib.contextmanager
def _loop_of_this_thread() -> Iterator[None]:
    """The mock monitor makes a loop in each worker thread that has none, and never closes it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        loop.close()
        asyncio.set_event_loop(None)


class _Monitor(mocks.MockMonitor):
    def __init__(self, given: mocks.Mocks) -> None:
        super().__init__(given)
        self.registered: list[Registered] = []
        self.outputs: dict[str, Any] = {}

    @override
    def RegisterResource(self, request: Any) -> Any:
        with _loop_of_this_thread():
            answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            kept = rpc.deserialize_properties(request.object, keep_unknowns=True)
            secrets = frozenset(key for key, value in kept.items() if rpc.is_rpc_secret(value))
            inputs = {key: rpc.unwrap_rpc_secret(value) for key, value in kept.items()}
            copy = resource_pb2.RegisterResourceRequest()
            copy.CopyFrom(request)
            self.registered.append(Registered(request.type, request.name, answer.urn, inputs, secrets, copy))
        return answer

    @override
    def RegisterResourceOutputs(self, request: Any) -> Any:
        if "pulumi:pulumi:Stack" in request.urn:
            kept = rpc.deserialize_properties(request.outputs, keep_unknowns=True)
            self.outputs = {key: rpc.unwrap_rpc_secret(value) for key, value in kept.items()}
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


class _Mocks(mocks.Mocks):
    def __init__(self, answers: Mapping[str, Mapping[str, Any]], *, preview: bool) -> None:
        self._answers, self._preview = answers, preview

    @override
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        state = {**args.inputs, **self._answers.get(args.typ, {})}
        if args.typ == "kubernetes:batch/v1:Job":
            uid = rpc.UNKNOWN if self._preview else "job-uid"
            state = {**state, "metadata": {**state["metadata"], "uid": uid}}
        return None if self._preview else f"{args.name}-id", state

    @override
    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"the program asks {args.token} during a preview")


def stack_config(stack: str, changes: Mapping[str, Any]) -> dict[str, str]:
    """A stack file's configuration as Pulumi hands it over, with top-level keys merged or (None) taken out."""
    config = yaml.safe_load((PROJECT / f"Pulumi.{stack}.yaml").read_text())["config"]
    values = {key.removeprefix(f"{NAMESPACE}:"): value for key, value in config.items()}
    for key, change in changes.items():
        values[key] = {**values.get(key, {}), **change} if isinstance(change, Mapping) else change
    given = {key: value for key, value in values.items() if value is not None}
    return {
        f"{NAMESPACE}:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in given.items()
    }


def run_program(
    config: Mapping[str, str],
    *,
    preview: bool = False,
    secret: Sequence[str] = (),
    program: Callable[[], Any] | None = None,
    answers: Mapping[str, Mapping[str, Any]] = OUTPUTS,
    stack: str = "test",
) -> Run:
    """Run the whole program (or `program`) on a mock engine and return what it registered; its errors are raised.

    A preview answers as one of a first create does: outputs that no input gives are not known. `secret` names the
    configuration keys that are secret.
    """
    work = functools.partial(
        _run, config, preview=preview, secret=secret, program=program or _main, answers=answers, stack=stack
    )
    return contextvars.copy_context().run(work)


def _main() -> None:
    runpy.run_path(str(PROJECT / "__main__.py"), run_name="__main__")


def _run(
    config: Mapping[str, str],
    *,
    preview: bool,
    secret: Sequence[str],
    program: Callable[[], Any],
    answers: Mapping[str, Mapping[str, Any]],
    stack: str,
) -> Run:
    if preview:
        answers = {kind: dict.fromkeys(outputs, rpc.UNKNOWN) for kind, outputs in answers.items()}
    given = _Mocks(answers, preview=preview)
    monitor = _Monitor(given)
    log = _Log()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        settings.reset_options()
        mocks.set_mocks(given, NAMESPACE, stack, preview=preview, logger=log, monitor=monitor)
        settings.ROOT.set(None)  # run_in_stack makes its own
        pulumi.runtime.set_all_config(dict(config), [f"{NAMESPACE}:{key}" for key in secret])
        loop.run_until_complete(pulumi.runtime.run_in_stack(program))
    finally:
        loop.close()
        asyncio.set_event_loop(None)
    return Run(monitor.registered, monitor.outputs, log.lines)


class _Log(logging.Logger):
    """What the program told the person, `warning: ...`."""

    def __init__(self) -> None:
        super().__init__("engine")
        self.lines: list[str] = []
        self.addHandler(_Kept(self.lines))


class _Kept(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(f"{record.levelname.lower()}: {record.getMessage()}")
