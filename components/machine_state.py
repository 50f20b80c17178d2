"""MachineState: what the node is like before its machine config is applied, and whether that restarts it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import pulumi
from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult
from typing_extensions import override

from components.dynamic import DRIFT, NodeProvider, Props, moved, run, target, token, whole
from talos_gpu.errors import TalosGpuError
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.effective import effective_differences
from talos_gpu.talos.facts import SPEC_SOURCE, NodeFacts, read_facts
from talos_gpu.talos.machine_config import GpuMachineConfig, lacking, wanted
from talos_gpu.talos.messages import ApplyMode, ApplyResult
from talos_gpu.talos.part import PART_PATH
from talos_gpu.talos.releases import Method, strategy_for
from talos_gpu.talos.render import render

VERSION = "1"
"""Of the provider's meaning: a change here is an update in every stack."""
Reboot = Literal["none", "apply", "request"]
"""Who restarts the node: nobody, the apply by itself, or MachineReady by asking for it."""
CONFIG = frozenset(("release", "method", "default_runtime", "config_sha256", "apply_mode"))
_PLACE = frozenset(("node", "address", "endpoint"))


class RebootForbidden(TalosGpuError):
    """The node would have to restart, and the stack forbids it; nothing was applied."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(
            f"{node} would have to restart: {reason}; the stack says machine.reboot: forbid, and nothing was applied",
            remedy="set machine.reboot: allow, or machine.apply_mode: staged and restart the node when it suits",
        )


class BaseConfigMoved(TalosGpuError):
    """The base machine config is not the one that the program read."""

    def __init__(self, path: str) -> None:
        super().__init__(f"the base machine config {path} changed during the operation", remedy="run it again")


def want_of(props: Mapping[str, Any]) -> GpuMachineConfig:
    """The wanted machine config of a resource's `release`, `method` and `default_runtime`."""
    release = strategy_for(props["release"])
    return wanted(release, Method(props["method"]), default_runtime=bool(props["default_runtime"]))


def digest(text: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def shown_facts(facts: NodeFacts) -> dict[str, str]:
    """The facts a person wants, those that are known; the boot id has an output of its own."""
    named = ("talos", "kernel", "containerd", "driver", "toolkit", "bpf_jit_harden", "kptr_restrict")
    values = {name: getattr(facts, name) for name in named}
    return {name: str(value) for name, value in values.items() if value is not None}


class MachineStateProvider(NodeProvider):
    """Reads and dry-runs; changes nothing on the node."""

    moves: ClassVar[frozenset[str]] = CONFIG | _PLACE | {"version"}

    @override
    def create(self, props: Props) -> CreateResult:
        outs = run(self._look(whole(props), {}))
        return CreateResult(f"{props['node']}-machine-state", outs)

    @override
    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        return UpdateResult(run(self._look(whole(_news), whole(_olds))))

    @override
    def delete(self, _id: str, _props: Props) -> None:
        """Nothing is changed on the node; says what stays there (the engine shows what a plugin prints)."""
        print(f"on {_props['node']} stay {', '.join(_staying(_props))}", flush=True)

    @override
    def read(self, id_: str, props: Props) -> ReadResult:
        """Drift is what the effective state lacks; while a staged config waits for its boot there is none."""
        return ReadResult(id_, run(self._drift(whole(props))))

    async def _drift(self, props: Props) -> Props:
        async with self._access.machine(target(props)) as client:
            facts = await read_facts(client)
        waits = props["apply_mode"] == "staged" and facts.boot_id == props["boot_id"]
        drift = [] if waits else effective_differences(facts, None, want_of(props))
        return {**props, DRIFT: drift}

    async def _look(self, props: Props, olds: Props) -> Props:
        config = self._rendered(props)
        async with self._access.machine(target(props)) as client:
            facts = await read_facts(client)
            differences = effective_differences(facts, None, want_of(props))
            again = not moved(CONFIG | {"node"}, olds, props)
            if again and not differences:
                return {**olds, **props, DRIFT: []}
            dry_run = await _dry_run(client, config, props["apply_mode"])
        reboot = _reboot(dry_run, differences, again=again, staged=props["apply_mode"] == "staged")
        if reboot != "none" and (props["reboot_policy"] == "forbid" or props["apply_mode"] == "no_reboot"):
            raise RebootForbidden(props["node"], _why(reboot, dry_run, differences))
        return {
            **props,
            "token": token(),
            "boot_id": facts.boot_id or "",
            "reboot": reboot,
            "reboot_expected": dry_run.reboots or reboot != "none",
            "differences": differences,
            "facts": shown_facts(facts),
            DRIFT: [],
        }

    def _rendered(self, props: Props) -> str:
        base = self._access.base_config()
        config = render(base, lacking(base, want_of(props)).patches)
        if digest(config) != props["config_sha256"]:
            raise BaseConfigMoved(self._access.base)
        return config


def _staying(props: Props) -> Iterator[str]:
    yield "the applied machine config"
    if props["method"] == Method.SPEC:
        yield f"the generated spec {SPEC_SOURCE}"
        yield "until the next boot the installed spec /var/run/cdi/nvidia.yaml"


async def _dry_run(client: MachineClient, config: str, apply_mode: str) -> ApplyResult:
    # staged is asked as auto, which tells whether the change will need the boot
    mode = ApplyMode.NO_REBOOT if apply_mode == "no_reboot" else ApplyMode.AUTO
    return await client.apply_configuration(config, mode, dry_run=True)


def _reboot(dry_run: ApplyResult, differences: Sequence[str], *, again: bool, staged: bool) -> Reboot:
    """Whether the node restarts, and by whom.

    The containerd part is written at boot only (<= 1.13), and a config that the node has already is not made to hold
    again by applying it once more: such drift needs a restart that apply does not make.
    """
    if staged:
        return "none"
    if dry_run.reboots:
        return "apply"
    only_at_boot = any(difference.startswith(PART_PATH) for difference in differences)
    return "request" if only_at_boot or (again and differences) else "none"


def _why(reboot: Reboot, dry_run: ApplyResult, differences: Sequence[str]) -> str:
    return " ".join(dry_run.details.split()) if reboot == "apply" else "; ".join(differences)


class MachineState(Resource, module="talos", name="MachineState"):
    """The node before the apply."""

    token: pulumi.Output[str]
    """New whenever the config must be applied again."""
    boot_id: pulumi.Output[str]
    """The boot id before the apply; an output only."""
    reboot: pulumi.Output[str]
    """`none`, `apply` or `request`: who restarts the node."""
    reboot_expected: pulumi.Output[bool]
    """Whether the config takes effect with a restart only."""
    differences: pulumi.Output[Sequence[str]]
    """What the node lacked."""
    facts: pulumi.Output[Mapping[str, str]]
    """The node's facts before the apply."""

    def __init__(self, name: str, props: Props, opts: pulumi.ResourceOptions | None = None) -> None:
        outputs = ("token", "boot_id", "reboot", "reboot_expected", "differences", "facts", DRIFT)
        declared = {**props, "version": VERSION, **dict.fromkeys(outputs)}
        super().__init__(MachineStateProvider(), name, declared, opts)
