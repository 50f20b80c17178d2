"""How the NVIDIA runtime injects: legacy mode and the kernel's hardening."""

from __future__ import annotations

from collections.abc import Iterator

from talos_gpu.doctor.errors import Unread
from talos_gpu.doctor.finding import Check, Severity
from talos_gpu.doctor.objects import gpu_pods, items, name, visible
from talos_gpu.doctor.view import View

_IN_MEMORY = "runtime.nvidia.com/gpu="


def _legacy_users(view: View) -> list[str]:
    """Who is injected in legacy mode: the method itself, pods through the runtime `nvidia` that ask for plain "
    "devices."""
    users = ["cdi.method: sysctl"] if view.meta.method == "sysctl" else []
    if not view.legacy_by_default:
        return users
    handlers = {str(thing["metadata"]["name"]): str(thing.get("handler")) for thing in items(view, "runtimeclasses")}
    handlers[""] = _default_runtime(view)
    for pod in gpu_pods(view):
        handler = handlers.get((pod.get("spec") or {}).get("runtimeClassName") or "")
        if handler in ("nvidia", "nvidia-legacy") and not (visible(pod) or "").startswith(_IN_MEMORY):
            users.append(f"pod {name(pod)}")
    return users


def _default_runtime(view: View) -> str:
    """The handler of pods without a RuntimeClass; "" where containerd's configuration was not read."""
    try:
        return str(view.cri.get("containerd", {}).get("default_runtime_name", ""))
    except Unread:
        return ""


def _blinded(view: View) -> Iterator[str]:
    users = _legacy_users(view)
    if not users:
        return
    harden = view.sysctl("net.core.bpf_jit_harden")
    if harden >= 2:
        try:
            restrict = f", kernel.kptr_restrict={view.sysctl('kernel.kptr_restrict')}"
        except Unread:
            restrict = ""
        yield f"net.core.bpf_jit_harden={harden}{restrict}, and legacy injection is in use by {', '.join(users)}"


CHECKS = (
    Check(
        "legacy-blinded",
        Severity.ERROR,
        "With net.core.bpf_jit_harden=2 (Talos's default) BPF programs cannot be read back, and legacy injection "
        "fails with "
        "`last insn is not an exit or jmp`. It is the setting, not the kernel's release.",
        "use CDI: cdi.method: spec or jit. Or cdi.method: sysctl, which sets net.core.bpf_jit_harden: 1 live",
        "libnvidia-container#176; reproduced by tests/doctor/test_bpf.py",
        _blinded,
        ("pod-fails", "worker-not-ready"),
    ),
)
