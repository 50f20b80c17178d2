"""Settings that are right each by itself and wrong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from talos_gpu.cdi import Strategy
from talos_gpu.settings.faults import Fault, shown
from talos_gpu.talos.errors import MethodUnfit, UnknownRelease
from talos_gpu.talos.releases import Method, ReleaseFacts, strategy_for

Part = Mapping[str, Any]
"""What is right of a part by itself (talos_gpu.settings.right): a wrong value has no entry."""


def combinations(node: Part, cdi: Part, tdarr: Part, *, unproven: bool = False) -> Iterator[Fault]:
    """The faults between what is right by itself.

    `unproven`: verification is wanted where there is no worker to verify in.
    """
    if unproven:
        yield Fault(
            "verify",
            "true",
            "needs a worker to prove the GPU in, and there is no tdarr",
            "add tdarr, or take verify out",
        )
    release = None
    # a treat_as that is wrong hides which release's facts are to hold
    key = "treat_as" if node.get("treat_as") else "talos"
    if "treat_as" in node and key in node:
        try:
            release = strategy_for(node[key])
        except UnknownRelease as error:
            yield Fault(f"node.{key}", shown(node[key]), f"cannot be handled: {error.message}", error.remedy)
    if "method" in cdi:
        yield from _cdi(cdi, release)
    yield from _volumes(tdarr.get("volumes", ()), tdarr.get("namespace", {}))


def _cdi(cdi: Part, release: ReleaseFacts | None) -> Iterator[Fault]:
    method = cdi["method"]
    if release is not None:
        try:
            release.require(Method(method))
        except MethodUnfit as error:
            yield Fault("cdi.method", shown(method), f"does not fit: {error.message}", error.remedy)
    if method != "spec":
        only_spec = {"hook": "auto", "regenerate": "never", "runtime": "runtime-class", "generator_flags": []}
        for key, default in only_spec.items():
            value = cdi.get(key, default)
            if value != default:
                rule = f"has no meaning with method {method}: only method spec has it"
                yield Fault(f"cdi.{key}", shown(value), rule, f"take cdi.{key} out")
    elif release is not None and cdi.get("hook") == "real" and release.hook is not Strategy.REAL:
        rule = f"does not fit Talos {release.minor}: its extension has no nvidia-cdi-hook.real"
        yield Fault("cdi.hook", shown(cdi["hook"]), rule, "take cdi.hook out")


def _volumes(volumes: Sequence[Part], namespace: Part) -> Iterator[Fault]:
    for key in ("name", "path"):
        seen: set[str] = set()
        for index, volume in enumerate(volumes):
            value = volume.get(key)
            if value in seen:
                yield Fault(f"tdarr.volumes[{index}].{key}", shown(value), "is there twice", "give each its own")
            seen |= {value} if value is not None else set()
    if "pod_security" not in namespace or namespace["pod_security"] == "privileged":
        return
    for index, volume in enumerate(volumes):
        path = (volume.get("host_path") or {}).get("path")
        if path is not None:
            level = namespace["pod_security"] or "baseline, the default"
            named = f" {namespace['name']}" if "name" in namespace else ""
            rule = f"is a hostPath, which PodSecurity level {level} of namespace{named} refuses"
            remedy = "use pvc, nfs or empty_dir, or say tdarr.namespace.pod_security: privileged where that is so"
            yield Fault(f"tdarr.volumes[{index}].host_path", shown(path), rule, remedy)
