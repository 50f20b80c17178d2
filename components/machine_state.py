"""MachineState: what the node is like before its machine config is applied, and whether that restarts it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pulumi
from pulumi.dynamic import CheckResult, CreateResult, DiffResult, ReadResult, Resource, UpdateResult
from typing_extensions import override

from components import cost
from components.drift import Drift
from components.dynamic import DRIFT, NodeProvider, Props, drifted, moved, run, target, tell, token, whole
from components.machine_drift import machine_drift, shown_facts
from components.restart_allowed import require_allowed
from components.retiring import only_retires
from talos_gpu.errors import TalosGpuError
from talos_gpu.kube.errors import KubeconfigInvalid, KubeError
from talos_gpu.talos.facts import SPEC_SOURCE, NodeFacts, read_facts
from talos_gpu.talos.messages import ApplyMode, ApplyResult
from talos_gpu.talos.releases import Method, strategy_for

if TYPE_CHECKING:
    from talos_gpu.talos.effective import Kind
    from talos_gpu.talos.machine_config import GpuMachineConfig

VERSION = "2"
"""Of the provider's meaning: a change here is an update in every stack."""
Reboot = Literal["none", "request"]
"""Who restarts the node: nobody, or MachineReady by asking for it. The apply itself never does: where it would, the
config is staged, so that one place makes the node quiet, restarts it and frees it again."""
CONFIG = frozenset(("release", "method", "default_runtime", "config_sha256", "apply_mode"))
_PLACE = frozenset(("node", "address", "endpoint"))
_CARRIED = frozenset(("version", "talos", "footprint", "reboot_policy", "allow_removal", "windows", "before_restart"))
"""Inputs beside CONFIG and _PLACE."""


class BaseConfigMoved(TalosGpuError):
    """The base machine config is not the one that the program read."""

    def __init__(self, path: str) -> None:
        super().__init__(f"the base machine config {path} changed during the operation", remedy="run it again")


class ReleaseDiffers(TalosGpuError):
    """The node runs another Talos minor release than the stack says; nothing was applied."""

    def __init__(self, node: str, runs: str, says: str) -> None:
        super().__init__(
            f"{node} runs Talos {runs}, the stack says {says}: what fits one release breaks another, and nothing was "
            "applied",
            remedy=f"set node.talos: {runs} (and cdi.method to one that the release has)",
        )


class WouldRemove(TalosGpuError):
    """The first apply would take keys away that somebody has put there; nothing was applied."""

    def __init__(self, node: str, keys: Sequence[str]) -> None:
        super().__init__(
            f"the live machine config of {node} has what the base machine config has not, and the first apply would "
            "remove:" + "".join(f"\n  - {key}" for key in keys),
            remedy="put it into the base (talosctl get machineconfig), or set machine.allow_removal: true",
        )


def want_of(props: Mapping[str, Any]) -> GpuMachineConfig:
    """The wanted machine config of a resource's `release`, `method` and `default_runtime`."""
    from talos_gpu.talos.machine_config import wanted

    release = strategy_for(props["release"])
    return wanted(release, Method(props["method"]), default_runtime=bool(props["default_runtime"]))


def digest(text: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


class MachineStateProvider(NodeProvider):
    """Reads and dry-runs; changes nothing on the node."""

    moves: ClassVar[frozenset[str]] = CONFIG | _PLACE | {"talos", "version"}

    @override
    def check(self, _olds: Props, news: Props) -> CheckResult:
        """Before the first apply nothing is known of what the node has."""
        if not _olds and all(isinstance(news.get(key), str) for key in _PLACE):
            tell(f"{news['node']}: {cost.FIRST}")
        return CheckResult(news, [])

    @override
    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """As of every provider; says what the change costs, from what was last applied."""
        found = super().diff(_id, _olds, _news)
        if found.changes is not False and (sentence := cost.of_change(_olds, _news)):
            tell(f"{_news['node']}: {sentence}")
        return found

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
        tell(f"on {_props['node']} stay {', '.join(_staying(_props))}")

    @override
    def read(self, id_: str, props: Props) -> ReadResult:
        """Drift is what the effective state lacks; while a staged config waits for its boot there is none."""
        props = whole(props)
        return drifted(id_, props, CONFIG | _PLACE | _CARRIED, run(self._drift(props)))

    async def _drift(self, props: Props) -> Drift:
        from talos_gpu.talos.effective import by_kind

        async with self._access.machine(target(props)) as client:
            facts = await read_facts(client)
        waits = props["apply_mode"] == "staged" and facts.boot_id == props["boot_id"]
        lacks = {} if waits else by_kind(facts, await self._labels(props["node"]), want_of(props))
        return machine_drift(props.get("facts") or {}, facts, lacks)

    async def _labels(self, node: str) -> Mapping[str, str] | None:
        """The Node object's labels; None where the cluster does not tell, and that is said."""
        try:
            async with self._access.cluster() as cluster:
                found = await cluster.node(node)
        except (KubeError, KubeconfigInvalid) as error:
            tell(f"{node}: its label is not looked at: {error.message}")
            return None
        return found.labels if found is not None else None

    async def _look(self, props: Props, olds: Props) -> Props:
        from talos_gpu.talos.effective import by_kind
        from talos_gpu.talos.removal import live_config, removed

        config = self._rendered(props)
        async with self._access.machine(target(props)) as client:
            facts = await read_facts(client)
            _require_release(props, facts)
            again = not moved(CONFIG | {"node"}, olds, props)
            lacks = by_kind(facts, await self._labels(props["node"]) if again else None, want_of(props))
            if again and not lacks:
                return {**olds, **props, "facts": shown_facts(facts), DRIFT: {}}
            if not olds and not props["allow_removal"] and (keys := removed(await live_config(client), config)):
                raise WouldRemove(props["node"], keys)
            # asked as auto in every mode: it tells whether the change needs the boot, and no_reboot would be refused
            dry_run = await client.apply_configuration(config, ApplyMode.AUTO, dry_run=True)
        differences = [sentence for found in lacks.values() for sentence in found]
        asked = cost.asked_for(olds, props)
        reboot = _reboot(dry_run, lacks, again=again, staged=props["apply_mode"] == "staged", asked=bool(asked))
        if reboot != "none":
            require_allowed(props, _why(dry_run, [*differences, *asked]))
        later = reboot == "request" and only_retires(olds, props)
        return {
            **props,
            "token": token(),
            "boot_id": facts.boot_id or "",
            "reboot": "none" if later else reboot,
            "reboot_after": reboot if later else "none",
            "reboot_expected": dry_run.reboots or bool(asked) or reboot != "none",
            "mode": "staged" if dry_run.reboots else props["apply_mode"],
            "differences": differences,
            "facts": shown_facts(facts),
            DRIFT: {},
        }

    def _rendered(self, props: Props) -> str:
        from talos_gpu.talos.machine_config import lacking
        from talos_gpu.talos.render import render

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


def _reboot(
    dry_run: ApplyResult, lacks: Mapping[Kind, Sequence[str]], *, again: bool, staged: bool, asked: bool = False
) -> Reboot:
    """Whether the node restarts, and by whom; `asked`: the change holds after a restart only, which a dry run of 1.14
    does not tell.

    The containerd part and udev rules are written at boot only (<= 1.13), and a config that the node has already is not
    made to hold again by applying it once more: such drift needs a restart that apply does not make. The label Talos
    itself puts back.
    """
    if staged:
        return "none"
    if dry_run.reboots or asked:
        return "request"
    only_at_boot = lacks.keys() & {"part", "udev"}
    return "request" if only_at_boot or (again and lacks.keys() - {"label"}) else "none"


def _why(dry_run: ApplyResult, differences: Sequence[str]) -> str:
    return " ".join(dry_run.details.split()) if dry_run.reboots else "; ".join(differences)


def _require_release(props: Props, facts: NodeFacts) -> None:
    if facts.talos is not None and _minor(facts.talos) != _minor(props["talos"]):
        raise ReleaseDiffers(props["node"], facts.talos, props["talos"])


def _minor(version: str) -> list[str]:
    return version.removeprefix("v").split(".")[:2]


class MachineState(Resource, module="talos", name="MachineState"):
    """The node before the apply."""

    token: pulumi.Output[str]
    """New whenever the config must be applied again."""
    boot_id: pulumi.Output[str]
    """The boot id before the apply; an output only."""
    mode: pulumi.Output[str]
    """Talos's mode to apply with: `staged` where the apply would restart the node by itself."""
    reboot: pulumi.Output[str]
    """`none` or `request`: whether MachineReady restarts the node."""
    reboot_after: pulumi.Output[str]
    """The same of MachineRestarted, after the worker."""
    reboot_expected: pulumi.Output[bool]
    """Whether the config takes effect with a restart only."""
    differences: pulumi.Output[Sequence[str]]
    """What the node lacked."""
    facts: pulumi.Output[Mapping[str, str]]
    """The node's facts before the apply."""

    def __init__(self, name: str, props: Props, opts: pulumi.ResourceOptions | None = None) -> None:
        outputs = (
            "token",
            "boot_id",
            "mode",
            "reboot",
            "reboot_after",
            "reboot_expected",
            "differences",
            "facts",
            DRIFT,
        )
        declared = {**props, "version": VERSION, **dict.fromkeys(outputs)}
        super().__init__(MachineStateProvider(), name, declared, opts)
