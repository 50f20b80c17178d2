"""containerd's configuration: the part, its section, folders, runtimes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from talos_gpu.doctor.bundle import host
from talos_gpu.doctor.errors import Unread
from talos_gpu.doctor.finding import Check, Severity
from talos_gpu.doctor.spec_file import canonical
from talos_gpu.doctor.view import MERGED, PART, SOURCE_FOLDER, View
from talos_gpu.talos.part import RUNTIME
from talos_gpu.talos.releases import CRI_SECTION_1, CRI_SECTION_2


def _method(view: View) -> str | None:
    return view.meta.method if "meta.json" in view.bundle.texts else None


def _missing(view: View) -> Iterator[str]:
    if view.meta.required("method") == "spec" and not any(RUNTIME in text for text in view.parts.values()):
        there = ", ".join(view.parts) or "no part at all"
        yield f"no part declares the runtime {RUNTIME} ({there})"


def _invalid(view: View) -> Iterator[str]:
    for path, text in view.parts.items():
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            yield f"{path}: {error}"


def _plugins(view: View) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, text in view.parts.items():
        try:
            yield path, tomllib.loads(text).get("plugins", {})
        except tomllib.TOMLDecodeError:
            continue  # a check of its own


def _section(view: View) -> Iterator[str]:
    wanted = view.release.cri_section
    other = CRI_SECTION_1 if wanted == CRI_SECTION_2 else CRI_SECTION_2
    for path, plugins in _plugins(view):
        if other in plugins and wanted not in plugins:
            yield f'{path} writes plugins."{other}", containerd of {view.talos} reads plugins."{wanted}"'


def _duplicated(view: View) -> Iterator[str]:
    owners: dict[str, str] = {}
    for path, plugins in _plugins(view):
        for section in plugins.values():
            for runtime in section.get("containerd", {}).get("runtimes", {}):
                other = owners.setdefault(runtime, path)
                if other != path and runtime.startswith("nvidia"):
                    yield f"{other} and {path} both declare the runtime {runtime}"


def _dirs(view: View) -> Iterator[str]:
    if "cdi_spec_dirs" not in view.cri:
        return
    dirs = [canonical(folder) for folder in view.spec_dirs]
    if SOURCE_FOLDER in dirs:
        place = "last, and so wins" if dirs[-1] == SOURCE_FOLDER else "one of them"
        yield f"cdi_spec_dirs is {', '.join(dirs)}: {SOURCE_FOLDER}, where the unpatched spec lies, is {place}"
    elif len(set(dirs)) != len(dirs):
        yield f"cdi_spec_dirs has a folder twice: {', '.join(dirs)} (Talos concatenates the arrays of all parts)"


def _disabled(view: View) -> Iterator[str]:
    cri = view.cri
    default = view.release.cri_section == CRI_SECTION_2
    # without a stack a spec in force says that CDI is wanted
    wanted = _method(view) in ("spec", "native") if _method(view) else view.effective is not None
    if wanted and not cri.get("enable_cdi", default):
        how = "is false" if "enable_cdi" in cri else "is not set, and this containerd's default is false"
        yield f"enable_cdi {how}"


def _binary(view: View) -> Iterator[str]:
    for name, binary in view.runtimes.items():
        if name.startswith("nvidia") and binary and view.exists(binary) is False:
            yield f"runtime {name} runs {binary}, which is not on the node"


def _default_runtime(view: View) -> Iterator[str]:
    name = view.cri.get("containerd", {}).get("default_runtime_name", "")
    if str(name).startswith("nvidia") and view.meta.runtime == "runtime-class":
        yield f'default_runtime_name = "{name}", and the stack says cdi.runtime: runtime-class'


def _not_merged(view: View) -> Iterator[str]:
    if host(MERGED) not in view.bundle.texts or PART not in view.parts:
        raise Unread(MERGED, "containerd's merged configuration is not in the bundle")
    merged = view.bundle.texts[host(MERGED)]
    if RUNTIME in view.parts[PART] and RUNTIME not in merged:
        yield f"{PART} declares {RUNTIME}, {MERGED} does not have it"


_SYMPTOMS = ("pod-fails", "worker-not-ready")
_PART_REMEDY = "pulumi up writes the part anew with the machine config (the node restarts for it up to Talos 1.13)"

CHECKS = (
    Check(
        "part-missing",
        Severity.ERROR,
        "containerd has no runtime nvidia-cdi: the part of the machine config is not on the node.",
        _PART_REMEDY,
        "Talos docs, Customizing containerd",
        _missing,
        ("runtimeclass-handler", *_SYMPTOMS),
    ),
    Check(
        "part-invalid",
        Severity.ERROR,
        "A containerd part is no TOML: Talos waits a minute for it and then fails the boot.",
        "mend it in machine.files, or take it out and pulumi up",
        "siderolabs/talos, cri configuration",
        _invalid,
        ("part-missing", "part-not-merged", "runtimeclass-handler", "spec-folder-unread", *_SYMPTOMS),
    ),
    Check(
        "part-wrong-section",
        Severity.ERROR,
        "The part writes the section of another containerd: 1.7 and 2.x have different ones, and the wrong one is "
        "ignored.",
        'containerd 2.x: plugins."io.containerd.cri.v1.runtime"; pulumi up writes the right one',
        "containerd docs/cri/config.md",
        _section,
        ("part-missing", "part-not-merged", "runtimeclass-handler", "cdi-disabled", "spec-folder-unread", *_SYMPTOMS),
    ),
    Check(
        "part-not-merged",
        Severity.ERROR,
        "The part is on the node and not in containerd's configuration: Talos merges the parts at boot.",
        "talosctl reboot; talosctl dmesg | grep -i cri tells why it was not merged",
        "siderolabs/talos, cri configuration",
        _not_merged,
        ("runtimeclass-handler", *_SYMPTOMS),
    ),
    Check(
        "part-duplicated",
        Severity.WARNING,
        "Two parts declare the same runtime; which settings hold is a matter of names.",
        "take the older one out of machine.files",
        "siderolabs/talos, cri configuration",
        _duplicated,
    ),
    Check(
        "spec-dirs-order",
        Severity.ERROR,
        "cdi_spec_dirs gives the last folder the highest priority, so the unpatched source can win over the "
        "installed spec.",
        'cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]; ' + _PART_REMEDY,
        "CDI pkg/cdi/doc.go; the original write-up had it the other way",
        _dirs,
        ("spec-shadowed", "spec-unpatched", "spec-stale", *_SYMPTOMS),
    ),
    Check(
        "cdi-disabled",
        Severity.ERROR,
        "containerd does no CDI: before 2.0 it is off unless enable_cdi = true.",
        "enable_cdi = true in the part; " + _PART_REMEDY,
        "containerd docs/cri/config.md",
        _disabled,
        _SYMPTOMS,
    ),
    Check(
        "runtime-binary-missing",
        Severity.ERROR,
        "A runtime of containerd's runs a binary that is not on the node: its name is wrong, or the extension is gone.",
        "correct BinaryName in the part; it is /usr/local/bin/nvidia-container-runtime.cdi",
        "siderolabs/extensions nvidia-container-toolkit/pkg.yaml",
        _binary,
        _SYMPTOMS,
    ),
    Check(
        "default-runtime",
        Severity.WARNING,
        "Every pod of the node goes through the NVIDIA runtime: any image with NVIDIA_VISIBLE_DEVICES=all gets the "
        "GPU, and "
        "all pods die with the extension.",
        "take default_runtime_name out of the part (cdi.runtime: runtime-class), or say cdi.runtime: default",
        "docs/architecture.md",
        _default_runtime,
    ),
)
