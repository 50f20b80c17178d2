"""CDI specs that are in force and do not fit: the node's hooks, driver, files, release."""

from __future__ import annotations

from collections.abc import Iterator

from talos_gpu.cdi import CdiError, Strategy, facts_of, patch
from talos_gpu.doctor.checks.spec import INSTALLED, SYMPTOMS, method_of
from talos_gpu.doctor.errors import Unread
from talos_gpu.doctor.finding import Check, Found, Severity
from talos_gpu.doctor.view import View, numbers

((CDI_HOOK, CDI_HOOK_REAL),) = Strategy.REAL.replaces.items()
_HOOKS_SINCE = {
    "enable-cuda-compat": (1, 17, 5),
    "disable-device-node-modification": (1, 18, 0),
    "update-application-profile": (1, 20, 0),
}
"""nvidia-container-toolkit cmd/nvidia-cdi-hook: which release knows a hook first."""
_MAJOR_OF = {"/dev/nvidia-uvm": "nvidia-uvm", "/dev/nvidia-uvm-tools": "nvidia-uvm"}
_SHOWN = 3


def _unpatched(view: View) -> Iterator[str | Found]:
    spec = view.effective
    if spec is None or spec.spec is None or CDI_HOOK not in facts_of(spec.spec).executables:
        return
    wrapped = _wrapped(view)
    if wrapped:
        yield f"{spec.path} runs {CDI_HOOK}, which is the wrapper on this node"
    elif wrapped is None:
        yield Found(
            f"{spec.path} runs {CDI_HOOK}; the evidence does not say of which Talos release",
            "On Talos 1.8 to 1.12 that is the wrapper, which refuses the name nvidia-cdi-hook. From 1.13 it is right: "
            "add `kubectl get nodes -o yaml` to the evidence to have that told apart.",
        )


def _wrapped(view: View) -> bool | None:
    """Whether the hook's real binary lies beside the wrapper; the release's table where that was not looked at.

    None where nobody says which release it is, as of a spec that somebody sent.
    """
    real = view.exists(CDI_HOOK_REAL)
    if real is not None:
        return real
    try:
        return CDI_HOOK in view.release.hook.replaces
    except Unread:
        return None


def _hook_missing(view: View) -> Iterator[str]:
    spec = view.effective
    if spec is None or spec.spec is None:
        return
    for path in facts_of(spec.spec).executables:
        if view.exists(path) is False:
            yield f"{spec.path} runs {path}, which is not on the node"


def _stale(view: View) -> Iterator[str]:
    """Of the spec in force; of the generated one where the installer has withdrawn its own for that very reason."""
    spec = view.effective or view.source
    if spec is None or spec.spec is None or view.driver is None:
        return
    named = facts_of(spec.spec).driver_versions
    if named and view.driver not in named:
        yield f"{spec.path} is for driver {', '.join(named)}, the node has {view.driver} loaded"


def _major_moved(view: View) -> Iterator[str]:
    spec = view.effective
    if spec is None or spec.spec is None:
        return
    for path, (major, _) in facts_of(spec.spec).majors.items():
        have = view.majors.get(_MAJOR_OF.get(path, ""))
        if have is not None and have != major:
            yield f"{spec.path} says major {major} of {path}, /proc/devices says {have}"


def _paths_missing(view: View) -> Iterator[str]:
    spec = view.effective
    if spec is None or spec.spec is None:
        return
    needed = facts_of(spec.spec)
    gone = [path for path in needed.host_paths if path not in needed.device_nodes and view.exists(path) is False]
    if gone:
        more = f" and {len(gone) - _SHOWN} more" if len(gone) > _SHOWN else ""
        yield f"{spec.path} names {', '.join(gone[:_SHOWN])}{more}: not on the node"


def _newer(view: View) -> Iterator[str]:
    spec = view.effective
    if spec is None or spec.spec is None or view.toolkit is None:
        return
    for hook in spec.spec.hooks():
        for name, since in _HOOKS_SINCE.items():
            if name in hook.args and numbers(view.toolkit) < since:
                yield f"{spec.path} asks for the hook {name}, the node's toolkit is {view.toolkit}"


def _edited(view: View) -> Iterator[str]:
    if method_of(view) != "spec" or view.source is None or view.meta.hook != "auto":
        return
    installed = next((spec for spec in view.specs if spec.path == INSTALLED), None)
    if installed is None or installed.spec is None:
        return
    try:
        wanted = patch(view.source.text, view.release.hook).text
    except CdiError:
        return
    if installed.text not in (wanted, view.source.text):
        yield f"{INSTALLED} is not what {view.source.path} becomes by the patch"


def _patched_on_native(view: View) -> Iterator[str]:
    if not view.release.native:
        return
    for spec in view.watched:
        if spec.spec is not None and CDI_HOOK_REAL in facts_of(spec.spec).executables:
            yield f"{spec.path} runs {CDI_HOOK_REAL} on {view.talos}"


def _upgrade(view: View) -> Iterator[str]:
    target = view.meta.upgrade_to
    if target is None or numbers(target) < (1, 13) or method_of(view) != "spec" or view.release.native:
        return
    spec = view.effective
    if spec is not None and spec.spec is not None and CDI_HOOK_REAL in facts_of(spec.spec).executables:
        yield f"{spec.path} runs {CDI_HOOK_REAL}, and {target} has no such binary"


_REGENERATE = "pulumi up --refresh: generates, patches and installs the spec anew, and restarts the worker"

CHECKS = (
    Check(
        "spec-unpatched",
        Severity.ERROR,
        "The spec's hooks run the wrapper of Talos 1.8 to 1.12, which refuses the name nvidia-cdi-hook.",
        "pulumi up (method spec patches the path to nvidia-cdi-hook.real), or cdi.hook: nvidia-ctk",
        "siderolabs/extensions release-1.11, nvidia-container-runtime-wrapper/main.go",
        _unpatched,
        ("spec-edited", "installer-failing", *SYMPTOMS),
    ),
    Check(
        "patched-on-native",
        Severity.ERROR,
        "A spec patched for Talos 1.12 or older is in force on 1.13 or newer, where no nvidia-cdi-hook.real exists.",
        "set cdi.method: native and pulumi up, which retires our objects; the system's own spec is back after a reboot",
        "siderolabs/extensions c5480f9",
        _patched_on_native,
        ("hook-missing", "spec-paths-missing", "spec-stale", "spec-edited", *SYMPTOMS),
    ),
    Check(
        "hook-missing",
        Severity.ERROR,
        "The spec's hooks run a binary that is not on the node.",
        _REGENERATE,
        "siderolabs/extensions nvidia-container-toolkit/pkg.yaml",
        _hook_missing,
        ("spec-edited", "installer-failing", *SYMPTOMS),
    ),
    Check(
        "spec-newer-than-hook",
        Severity.ERROR,
        "The spec was made by a newer toolkit than the hook binary: `No help topic for ...` at every container start.",
        "generate the spec with the node's own nvidia-ctk: pulumi up --refresh",
        "seen on an H100, toolkits 1.20.0 and 1.17.8",
        _newer,
        ("spec-edited", *SYMPTOMS),
    ),
    Check(
        "spec-stale",
        Severity.ERROR,
        "The spec is older than the last driver change: it names the libraries of another version.",
        _REGENERATE,
        "docs/architecture.md",
        _stale,
        ("spec-missing", "spec-paths-missing", "installer-failing", "spec-edited", *SYMPTOMS),
    ),
    Check(
        "uvm-major-moved",
        Severity.ERROR,
        "The kernel gave nvidia-uvm another major number at boot than the spec says. nvidia-smi does not notice, "
        "CUDA dies "
        "(cuInit 999).",
        f"{_REGENERATE}; toolkits before 1.19 write no majors",
        "seen on an H100, toolkit 1.19.1",
        _major_moved,
        ("spec-edited", "installer-failing", *SYMPTOMS),
    ),
    Check(
        "spec-paths-missing",
        Severity.ERROR,
        "The spec mounts files that the node does not have: `failed to fulfil mount request`.",
        _REGENERATE,
        "seen on an H100",
        _paths_missing,
        ("installer-failing", "spec-edited", *SYMPTOMS),
    ),
    Check(
        "spec-edited",
        Severity.WARNING,
        "The installed spec was changed by something else than the installer.",
        "the installer puts it back within seconds where it runs; kubectl -n kube-system logs -l app=nvidia-cdi-init",
        "docs/architecture.md",
        _edited,
        ("installer-behind", "pod-older-than-spec"),
    ),
    Check(
        "upgrade-breaks-spec",
        Severity.WARNING,
        "The node is to be upgraded to a release without the wrapper: the patched spec would break every GPU "
        "container.",
        "before the upgrade set cdi.hook: nvidia-ctk (its spec is good on both), or cdi.method: native right after it",
        "siderolabs/extensions c5480f9",
        _upgrade,
    ),
)
