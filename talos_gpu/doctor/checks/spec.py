"""CDI specs: there, loadable, in force."""

from __future__ import annotations

from collections.abc import Iterator

from talos_gpu.doctor.bundle import listing
from talos_gpu.doctor.errors import Unread
from talos_gpu.doctor.finding import Check, Found, Severity
from talos_gpu.doctor.view import GPU_KIND, SOURCE_FOLDER, View

INSTALLED = "/var/run/cdi/nvidia.yaml"
_WITH_SPEC = ("spec", "native")


def method_of(view: View) -> str:
    """The stack's method; `spec` where no stack says one."""
    return view.meta.method or "spec" if "meta.json" in view.bundle.texts else "spec"


def _missing(view: View) -> Iterator[str]:
    if method_of(view) not in _WITH_SPEC or view.effective is not None:
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


SYMPTOMS = ("installer-behind", "pod-older-than-spec", "pod-fails", "worker-not-ready")
"""What a wrong spec brings about."""

CHECKS = (
    Check(
        "spec-source-missing",
        Severity.ERROR,
        "The generator has left no spec: there is nothing to patch and to install.",
        "pulumi up --refresh runs the generator again; kubectl -n kube-system logs -l app=nvidia-cdi-generator",
        "docs/architecture.md",
        _source_missing,
        ("spec-missing", "installer-failing", *SYMPTOMS),
    ),
    Check(
        "spec-missing",
        Severity.ERROR,
        "No CDI spec in force provides the GPU: containers fail with `unresolvable CDI devices nvidia.com/gpu=all`.",
        "kubectl -n kube-system logs -l app=nvidia-cdi-init -c installer says why the installer has not put it there",
        "the original write-up, Troubleshooting",
        _missing,
        SYMPTOMS,
    ),
    Check(
        "spec-invalid",
        Severity.ERROR,
        "containerd does not load the spec: it is stricter than a YAML parser, an unknown field is enough.",
        "talosctl read the file, `talos-gpu cdi validate` names every fault; then pulumi up --refresh",
        "CDI pkg/cdi/spec.go; seen on an H100",
        _invalid,
        ("spec-missing", "installer-failing", *SYMPTOMS),
    ),
    Check(
        "spec-conflict",
        Severity.ERROR,
        "Two files of one folder name the same device; containerd takes it from neither.",
        "delete one of them: a pod with a hostPath on the folder, or a reboot where it is /var/run/cdi",
        "CDI pkg/cdi/cache.go; seen on an H100",
        _conflict,
        ("spec-edited", *SYMPTOMS),
    ),
    Check(
        "spec-shadowed",
        Severity.ERROR,
        "Another file wins over the installed spec: in cdi_spec_dirs the last folder has the highest priority.",
        "set cdi_spec_dirs to /etc/cdi, /var/run/cdi, in this order (pulumi up does)",
        "CDI pkg/cdi/doc.go",
        _shadowed,
        ("spec-unpatched", "spec-stale", "hook-missing", "spec-paths-missing", "spec-newer-than-hook", *SYMPTOMS),
    ),
    Check(
        "spec-folder-unread",
        Severity.ERROR,
        "A spec lies in a folder that containerd does not read.",
        "add the folder to cdi_spec_dirs in the containerd part, or move the spec",
        "containerd docs/cri/config.md",
        _folder_unread,
        ("spec-missing", *SYMPTOMS),
    ),
    Check(
        "spec-name-ignored",
        Severity.WARNING,
        "A file in a CDI folder has a name that is not read.",
        "rename it to end in .yaml or .json, or remove it",
        "CDI pkg/cdi/spec-dirs.go",
        _name_ignored,
        ("spec-missing", *SYMPTOMS),
    ),
)
