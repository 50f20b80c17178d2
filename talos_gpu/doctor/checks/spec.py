"""CDI specs: there, loadable, in force, patched, fresh."""

from __future__ import annotations

from collections.abc import Iterator

from talos_gpu.cdi import CdiError, Strategy, facts_of, patch
from talos_gpu.doctor.bundle import listing
from talos_gpu.doctor.errors import Unread
from talos_gpu.doctor.finding import Check, Found, Severity
from talos_gpu.doctor.view import GPU_KIND, SOURCE_FOLDER, View, numbers

INSTALLED = "/var/run/cdi/nvidia.yaml"
((CDI_HOOK, CDI_HOOK_REAL),) = Strategy.REAL.replaces.items()
_WITH_SPEC = ("spec", "native")
_HOOKS_SINCE = {
    "enable-cuda-compat": (1, 17, 5),
    "disable-device-node-modification": (1, 18, 0),
    "update-application-profile": (1, 20, 0),
}
"""nvidia-container-toolkit cmd/nvidia-cdi-hook: which release knows a hook first."""
_MAJOR_OF = {"/dev/nvidia-uvm": "nvidia-uvm", "/dev/nvidia-uvm-tools": "nvidia-uvm"}
_SHOWN = 3


def _method(view: View) -> str:
    return view.meta.method or "spec" if "meta.json" in view.bundle.texts else "spec"


def _missing(view: View) -> Iterator[str]:
    if _method(view) not in _WITH_SPEC or view.effective is not None:
        return
    there = ", ".join(spec.path for spec in view.watched) or "no spec at all"
    yield f"no file in {', '.join(view.spec_dirs)} provides {GPU_KIND} ({there})"


def _source_missing(view: View) -> Iterator[str]:
    if view.meta.required("method") != "spec":
        return
    if view.exists(f"{SOURCE_FOLDER}/nvidia.yaml") is None:
        raise Unread(
            f"lists{SOURCE_FOLDER}.txt", view.bundle.unread.get(f"lists{SOURCE_FOLDER}.txt") or "not looked at"
        )
    if view.source is None:
        yield f"{SOURCE_FOLDER}/nvidia.yaml is not there"


def _invalid(view: View) -> Iterator[str]:
    for spec in view.watched:
        if spec.faults:
            more = f" (and {len(spec.faults) - 1} more)" if len(spec.faults) > 1 else ""
            yield f"{spec.path}: {spec.faults[0]}{more}"


def _conflict(view: View) -> Iterator[str]:
    seen: dict[tuple[str, str], str] = {}
    told: set[tuple[str, str]] = set()
    for spec in view.watched:
        for name in sorted(spec.names):
            other = seen.setdefault((spec.folder, name), spec.path)
            if other != spec.path and (other, spec.path) not in told:
                told.add((other, spec.path))
                yield f"{other} and {spec.path} both have {name}"


def _shadowed(view: View) -> Iterator[str | Found]:
    ours = next((spec for spec in view.watched if spec.path == INSTALLED), None)
    winner = view.effective
    if ours is None or winner is None or winner.folder == ours.folder or not (winner.names & ours.names):
        return
    remedy = f"set cdi_spec_dirs to /etc/cdi, /var/run/cdi, in this order (pulumi up does), or remove {winner.path}"
    yield Found(f"{winner.path} wins over {ours.path}: containerd reads {', '.join(view.spec_dirs)}", remedy=remedy)


def _folder_unread(view: View) -> Iterator[str]:
    for spec in view.specs:
        elsewhere = spec.folder not in view.spec_dirs and spec.folder != SOURCE_FOLDER
        if elsewhere and any(name.startswith(f"{GPU_KIND}=") for name in spec.names):
            yield f"{spec.path} lies in a folder that is none of {', '.join(view.spec_dirs)}"


def _name_ignored(view: View) -> Iterator[str]:
    listed = [folder for folder in view.spec_dirs if listing(folder) in view.bundle.texts]
    if not listed and not any(view.bundle.unread.get(listing(folder)) == "" for folder in view.spec_dirs):
        raise Unread(listing(view.spec_dirs[-1]), "no folder of CDI specs was listed")
    for folder in listed:
        for name in view.entries(folder) or ():
            if name.endswith((".yml", ".yaml.tmp", ".yaml.bak", ".YAML")) or name == "nvidia":
                yield f"{folder}/{name}: only *.yaml and *.json are read"


def _unpatched(view: View) -> Iterator[str]:
    spec = view.effective
    if spec is not None and spec.spec is not None and CDI_HOOK in facts_of(spec.spec).executables and _wrapped(view):
        yield f"{spec.path} runs {CDI_HOOK}, which is the wrapper on this node"


def _wrapped(view: View) -> bool:
    """Whether the hook's real binary lies beside the wrapper; the release's table where that was not looked at."""
    real = view.exists(CDI_HOOK_REAL)
    return CDI_HOOK in view.release.hook.replaces if real is None else real


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
    if _method(view) != "spec" or view.source is None or view.meta.hook != "auto":
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
    if target is None or numbers(target) < (1, 13) or _method(view) != "spec" or view.release.native:
        return
    spec = view.effective
    if spec is not None and spec.spec is not None and CDI_HOOK_REAL in facts_of(spec.spec).executables:
        yield f"{spec.path} runs {CDI_HOOK_REAL}, and {target} has no such binary"


_REGENERATE = "pulumi up --refresh: generates, patches and installs the spec anew, and restarts the worker"
_SYMPTOMS = ("installer-behind", "pod-older-than-spec", "pod-fails", "worker-not-ready")

CHECKS = (
    Check(
        "spec-source-missing",
        Severity.ERROR,
        "The generator has left no spec: there is nothing to patch and to install.",
        "pulumi up --refresh runs the generator again; kubectl -n kube-system logs -l app=nvidia-cdi-generator",
        "docs/architecture.md",
        _source_missing,
        ("spec-missing", "installer-failing", *_SYMPTOMS),
    ),
    Check(
        "spec-missing",
        Severity.ERROR,
        "No CDI spec in force provides the GPU: containers fail with `unresolvable CDI devices nvidia.com/gpu=all`.",
        "kubectl -n kube-system logs -l app=nvidia-cdi-init -c installer says why the installer has not put it there",
        "the original write-up, Troubleshooting",
        _missing,
        _SYMPTOMS,
    ),
    Check(
        "spec-invalid",
        Severity.ERROR,
        "containerd does not load the spec: it is stricter than a YAML parser, an unknown field is enough.",
        "talosctl read the file, `talos-gpu cdi validate` names every fault; then pulumi up --refresh",
        "CDI pkg/cdi/spec.go; seen on an H100",
        _invalid,
        ("spec-missing", "installer-failing", *_SYMPTOMS),
    ),
    Check(
        "spec-conflict",
        Severity.ERROR,
        "Two files of one folder name the same device; containerd takes it from neither.",
        "delete one of them: a pod with a hostPath on the folder, or a reboot where it is /var/run/cdi",
        "CDI pkg/cdi/cache.go; seen on an H100",
        _conflict,
        ("spec-edited", *_SYMPTOMS),
    ),
    Check(
        "spec-shadowed",
        Severity.ERROR,
        "Another file wins over the installed spec: in cdi_spec_dirs the last folder has the highest priority.",
        "set cdi_spec_dirs to /etc/cdi, /var/run/cdi, in this order (pulumi up does)",
        "CDI pkg/cdi/doc.go",
        _shadowed,
        ("spec-unpatched", "spec-stale", "hook-missing", "spec-paths-missing", "spec-newer-than-hook", *_SYMPTOMS),
    ),
    Check(
        "spec-folder-unread",
        Severity.ERROR,
        "A spec lies in a folder that containerd does not read.",
        "add the folder to cdi_spec_dirs in the containerd part, or move the spec",
        "containerd docs/cri/config.md",
        _folder_unread,
        ("spec-missing", *_SYMPTOMS),
    ),
    Check(
        "spec-name-ignored",
        Severity.WARNING,
        "A file in a CDI folder has a name that is not read.",
        "rename it to end in .yaml or .json, or remove it",
        "CDI pkg/cdi/spec-dirs.go",
        _name_ignored,
        ("spec-missing", *_SYMPTOMS),
    ),
    Check(
        "spec-unpatched",
        Severity.ERROR,
        "The spec's hooks run the wrapper of Talos 1.8 to 1.12, which refuses the name nvidia-cdi-hook.",
        "pulumi up (method spec patches the path to nvidia-cdi-hook.real), or cdi.hook: nvidia-ctk",
        "siderolabs/extensions release-1.11, nvidia-container-runtime-wrapper/main.go",
        _unpatched,
        ("spec-edited", "installer-failing", *_SYMPTOMS),
    ),
    Check(
        "patched-on-native",
        Severity.ERROR,
        "A spec patched for Talos 1.12 or older is in force on 1.13 or newer, where no nvidia-cdi-hook.real exists.",
        "set cdi.method: native and pulumi up, which retires our objects; the system's own spec is back after a reboot",
        "siderolabs/extensions c5480f9",
        _patched_on_native,
        ("hook-missing", "spec-paths-missing", "spec-stale", "spec-edited", *_SYMPTOMS),
    ),
    Check(
        "hook-missing",
        Severity.ERROR,
        "The spec's hooks run a binary that is not on the node.",
        _REGENERATE,
        "siderolabs/extensions nvidia-container-toolkit/pkg.yaml",
        _hook_missing,
        ("spec-edited", "installer-failing", *_SYMPTOMS),
    ),
    Check(
        "spec-newer-than-hook",
        Severity.ERROR,
        "The spec was made by a newer toolkit than the hook binary: `No help topic for ...` at every container start.",
        "generate the spec with the node's own nvidia-ctk: pulumi up --refresh",
        "seen on an H100, toolkits 1.20.0 and 1.17.8",
        _newer,
        ("spec-edited", *_SYMPTOMS),
    ),
    Check(
        "spec-stale",
        Severity.ERROR,
        "The spec is older than the last driver change: it names the libraries of another version.",
        _REGENERATE,
        "docs/architecture.md",
        _stale,
        ("spec-missing", "spec-paths-missing", "installer-failing", "spec-edited", *_SYMPTOMS),
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
        ("spec-edited", "installer-failing", *_SYMPTOMS),
    ),
    Check(
        "spec-paths-missing",
        Severity.ERROR,
        "The spec mounts files that the node does not have: `failed to fulfil mount request`.",
        _REGENERATE,
        "seen on an H100",
        _paths_missing,
        ("installer-failing", "spec-edited", *_SYMPTOMS),
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
