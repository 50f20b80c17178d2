"""What the cdi commands print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from talos_gpu import cdi

if TYPE_CHECKING:
    from talos_gpu.cdi import Finding, Patched, Remark, Resolution, Spec, SpecFault


def verdict(name: str, faults: Sequence[SpecFault], remarks: Sequence[Remark], stale: Sequence[Finding]) -> str:
    """A line a finding, `NAME:LINE:COLUMN: ...` as compilers write, and its source; one line `NAME: ok` for none."""
    lines = [f"{name}:{fault}\n  source: {fault.source}" for fault in faults]
    for remark in remarks:
        place = f"{name}:{remark.line}" if remark.line else name
        lines.append(f"{place}: warning: {remark.message} [{remark.rule}]\n  source: {remark.source}")
    for finding in stale:
        word = "stale" if finding.breaks else "warning"
        lines.append(f"{name}: {word}: {finding.evidence} [{finding.check}]\n  cause: {finding.cause}")
        lines.append(f"  remedy: {finding.remedy}\n  source: {finding.source}")
    return "\n".join(lines or [f"{name}: ok"])


def verdict_json(
    name: str, faults: Sequence[SpecFault], remarks: Sequence[Remark], stale: Sequence[Finding]
) -> dict[str, Any]:
    """The same for programs; `accepted` is the CDI library's verdict alone."""
    return {
        "file": name,
        "accepted": not faults,
        "faults": [asdict(fault) for fault in faults],
        "warnings": [asdict(remark) for remark in remarks],
        "stale": [asdict(finding) for finding in stale],
    }


def summary(spec: Spec, digest: str) -> str:
    """What a spec gives and needs, for people."""
    needed = cdi.facts_of(spec)
    paths = [path for path in needed.host_paths if path not in needed.device_nodes]
    hooks: dict[str, int] = {}
    for hook in spec.hooks():
        hooks[hook.path] = hooks.get(hook.path, 0) + 1
    rows = [
        ("kind", spec.kind),
        ("cdiVersion", spec.cdi_version),
        ("driver", ", ".join(needed.driver_versions) or "not named"),
        ("devices", ", ".join(device.name for device in spec.devices)),
        ("nodes", ", ".join(_node(path, needed.majors.get(path)) for path in needed.device_nodes) or "none"),
        ("hooks", ", ".join(f"{count} x {path}" for path, count in hooks.items()) or "none"),
        ("mounts", f"{len(list(spec.mounts()))}, of {len(paths)} host paths"),
        ("sha256", digest),
    ]
    return "".join(f"{name:<11} {value}\n" for name, value in rows)


def _node(path: str, numbers: tuple[int, int] | None) -> str:
    return path if numbers is None else f"{path} ({numbers[0]}:{numbers[1]})"


def summary_json(spec: Spec, digest: str) -> dict[str, Any]:
    """The same for programs, with every path."""
    needed = cdi.facts_of(spec)
    return {
        "kind": spec.kind,
        "cdi_version": spec.cdi_version,
        "driver_versions": list(needed.driver_versions),
        "devices": [device.name for device in spec.devices],
        "device_nodes": [
            {"path": path, "numbers": list(needed.majors[path]) if path in needed.majors else None}
            for path in needed.device_nodes
        ],
        "hooks": [{"name": hook.hook_name, "path": hook.path, "args": list(hook.args)} for hook in spec.hooks()],
        "mounts": [{"host": mount.host_path, "container": mount.container_path} for mount in spec.mounts()],
        "sha256": digest,
    }


def refused_json(name: str, error: cdi.CdiError) -> dict[str, Any]:
    """Why a spec was not patched, for programs; `faults` are the CDI library's, none where that accepts it."""
    faults = error.faults if isinstance(error, cdi.SpecInvalid) else ()
    return {
        "file": name,
        "refused": error.message,
        "remedy": error.remedy,
        "faults": [asdict(fault) for fault in faults],
    }


def patched_json(patched: Patched, target: str) -> dict[str, Any]:
    """What was patched, for programs; with the text where it was not written to a file."""
    return {
        "kind": patched.kind,
        "devices": list(patched.devices),
        "hooks": list(patched.hooks),
        "replaced": patched.replaced,
        "source_sha256": patched.source_sha256,
        "sha256": patched.sha256,
        **({"written": target} if target else {"text": patched.text}),
    }


def resolution(found: Resolution) -> str:
    """Folders, files, devices and what hides them, for people."""
    lines = [f"folder {path}: {reason}" for path, reason in found.folder_errors]
    for file in found.files:
        if file.state is cdi.State.FAILED:
            lines.append(f"failed {file.path}: {file.problem}; nothing in it can be used")
        elif file.state is cdi.State.IGNORED:
            lines.append(f"ignored {file.path}: {file.problem}")
    for conflict in found.conflicts:
        hidden = f"; it hides {', '.join(conflict.hidden)}" if conflict.hidden else ""
        lines.append(
            f"conflict {conflict.device}: several files of one folder give it: {_list(conflict.paths)}{hidden}"
        )
    for given in found.devices:
        shadowed = f" (shadows {', '.join(given.shadowed)})" if given.shadowed else ""
        lines.append(f"{given.device} from {given.path}{shadowed}")
    if not found.devices:
        lines.append(f"no device in {_list(found.folders)}")
    return "\n".join(lines)


def _list(paths: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(paths))


def resolution_json(found: Resolution) -> dict[str, Any]:
    """The same for programs."""
    return {
        "folders": list(found.folders),
        "folder_errors": [{"folder": path, "reason": reason} for path, reason in found.folder_errors],
        "files": [asdict(file) for file in found.files],
        "devices": [asdict(given) for given in found.devices],
        "conflicts": [asdict(conflict) for conflict in found.conflicts],
    }
