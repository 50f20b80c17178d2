"""What each Talos release does with NVIDIA GPUs: the one table that strategies come from.

Sources, by column:
- wrapper, hook binaries, toolkit, drivers: siderolabs/extensions, branches release-1.7 to release-1.14,
  nvidia-gpu/nvidia-container-toolkit (wrapper: nvidia-container-runtime-wrapper/main.go, six names, never
  nvidia-cdi-hook; removed in c5480f9, v1.13.0).
- containerd section and folders: siderolabs/talos hack/cri-plugin.part (>= 1.13: f2bae55b8) and containerd's own
  defaults (2.x: CDI on, ["/etc/cdi", "/var/run/cdi"]; 1.7: CDI off).
- what reboots: siderolabs/talos CanApplyImmediate (<= 1.13: files and udev need one; which fields exactly:
  talos_gpu.talos.reboot); 995bc30d5 dropped the reboot mode from apply in 1.14.
- files: siderolabs/talos WriteUserFiles (internal/app/machined/pkg/runtime/v1alpha1/v1alpha1_sequencer_tasks.go,
  <= 1.13: at each boot; `create` outside of /var only for the containerd part, an exact path, once). From 1.14 on the
  part is a resource of its own (CustomizationConfigController), and Talos restarts containerd for it.
- udev: rules of v1alpha1 are read at boot (<= 1.13); 1.14 reloads udev and triggers the devices (UdevRulesController).
- documents: siderolabs/talos pkg/machinery/config/types/runtime kernel_module.go, udev_rules.go and types/cri (1.14;
  none of them in machinery v1.13.9).
- generator flags: NVIDIA/nvidia-container-toolkit#735 (libcuda.so not found through ld.so.cache before 1.17.0).
- extension names: siderolabs/extensions nvidia-gpu (a suffix -lts or -production from 1.8 on).
- GPU generations by driver: talos_gpu.talos.drivers.
- jit-cdi: nvidia-container-toolkit v1.17.8 internal/modifier/cdi.go; default mode from toolkit 1.18.

`proven` is true only where the project has run it: 1.11 in its lab. The rest is read from those sources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from typing_extensions import override

from talos_gpu.cdi import Strategy
from talos_gpu.talos.errors import MethodUnfit, UnknownRelease
from talos_gpu.talos.messages import ApplyMode

CRI_SECTION_2 = "io.containerd.cri.v1.runtime"
"""containerd 2.x's section of CRI runtime settings."""
CRI_SECTION_1 = "io.containerd.grpc.v1.cri"
"""containerd 1.7's section."""


class Method(StrEnum):
    """How a container gets the GPU."""

    SPEC = "spec"
    """A CDI spec generated on the host, patched and installed at each boot."""
    JIT = "jit"
    """The extension's `nvidia` runtime makes the spec in memory: NVIDIA_VISIBLE_DEVICES=runtime.nvidia.com/gpu=all."""
    NATIVE = "native"
    """The system's own boot service makes the spec."""
    SYSCTL = "sysctl"
    """Legacy injection, with net.core.bpf_jit_harden lowered to 1."""

    @classmethod
    @override
    def _missing_(cls, value: object) -> Method | None:
        return cls.JIT if value == "jit-cdi" else None


def spelled(method: Method) -> str:
    """The method's name as the documentation and new stack files have it."""
    return "jit-cdi" if method is Method.JIT else str(method)


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """One Talos minor release."""

    minor: str
    """`1.11`."""
    wrapper: bool
    """/usr/local/bin holds the wrapper's links, with the programs beside it as NAME.real."""
    hook: Strategy
    """What a generated spec's hook paths must become."""
    native: bool
    """The system writes /run/cdi/nvidia.yaml itself at boot: install nothing over it."""
    toolkit: str
    lts_driver: str
    production_driver: str
    containerd: str
    cri_section: str
    cdi_spec_dirs_default: tuple[str, ...]
    """Where containerd looks unless told otherwise; the last one wins."""
    reboot_on_apply: bool
    """Applying `files` or `udev` in mode auto restarts the node; otherwise a restart must be asked for."""
    methods: tuple[Method, ...]
    """Those that work, the proposed one first."""
    apply_modes: tuple[ApplyMode, ...]
    """Those that ApplyConfiguration takes."""
    part_at_boot: bool
    """The containerd part is written at boot; otherwise Talos restarts containerd for a new one."""
    udev_at_boot: bool
    """udev rules are read at boot; otherwise Talos reloads udev."""
    cdi_hook: str | None
    """The hook binary that a generated spec must name on the host; None: nvidia-ctk itself, which the wrapper knows."""
    generator_fallback: tuple[str, ...]
    """Flags for `nvidia-ctk cdi generate` where it does not find libcuda.so without."""
    extensions: Mapping[str, tuple[str, str]]
    """By flavour (`lts`, `production`): the extensions of the kernel modules and of the toolkit."""
    documents: frozenset[str]
    """Kinds of documents that take the place of v1alpha1's kernel modules, udev rules and containerd part."""
    proven: bool
    sources: tuple[str, ...]

    @property
    def caution(self) -> str:
        """What is to be told before the release's facts are relied on; "" where the project has run it."""
        return "" if self.proven else f"Talos {self.minor}: read from its sources, not proven in the project's lab"

    def require(self, method: Method) -> None:
        """Raise MethodUnfit unless the method works on this release."""
        if method not in self.methods:
            raise MethodUnfit(method, self.minor, _unfit(self, method), self.methods)


_EXTENSIONS = "siderolabs/extensions release-{}: nvidia-gpu/nvidia-container-toolkit"


def _release(
    minor: str,
    *,
    toolkit: str,
    drivers: tuple[str, str],
    containerd: str,
    methods: tuple[Method, ...],
    hook: Strategy = Strategy.NONE,
    proven: bool = False,
    more: tuple[str, ...] = (),
) -> ReleaseFacts:
    native = Method.NATIVE in methods
    return ReleaseFacts(
        minor=minor,
        wrapper=not native,
        hook=hook,
        native=native,
        toolkit=toolkit,
        lts_driver=drivers[0],
        production_driver=drivers[1],
        containerd=containerd,
        cri_section=CRI_SECTION_2 if containerd.startswith("2.") else CRI_SECTION_1,
        cdi_spec_dirs_default=("/run/cdi",) if native else ("/etc/cdi", "/var/run/cdi"),
        reboot_on_apply=minor != "1.14",
        methods=methods,
        apply_modes=_MODES if minor == "1.14" else (*_MODES, ApplyMode.REBOOT),
        part_at_boot=minor != "1.14",
        udev_at_boot=minor != "1.14",
        cdi_hook=_HOOKS[hook] if not native else "/usr/bin/nvidia-cdi-hook",
        generator_fallback=_SEARCH if minor == "1.8" else (),
        extensions=_SUFFIXED if minor != "1.7" else _UNSUFFIXED,
        documents=_DOCUMENTS if minor == "1.14" else frozenset(),
        proven=proven,
        sources=(_EXTENSIONS.format(minor), *more),
    )


_MODES = (ApplyMode.AUTO, ApplyMode.NO_REBOOT, ApplyMode.STAGED, ApplyMode.TRY)
_HOOKS = {Strategy.REAL: "/usr/local/bin/nvidia-cdi-hook.real", Strategy.NONE: None}
_SEARCH = ("--mode=nvml", "--library-search-path=/usr/local/glibc/usr/lib")
_SUFFIXED = {
    flavour: (f"siderolabs/nonfree-kmod-nvidia-{flavour}", f"siderolabs/nvidia-container-toolkit-{flavour}")
    for flavour in ("lts", "production")
}
_UNSUFFIXED = dict.fromkeys(
    ("lts", "production"), ("siderolabs/nonfree-kmod-nvidia", "siderolabs/nvidia-container-toolkit")
)
_DOCUMENTS = frozenset(("KernelModuleConfig", "UdevRulesConfig", "CRICustomizationConfig"))
_PATCHED = (Method.SPEC, Method.SYSCTL)
_PATCHED_JIT = (Method.JIT, Method.SPEC, Method.SYSCTL)
_NATIVE = (Method.NATIVE,)
_CDI_SERVICE = (
    "siderolabs/extensions c5480f9: ext-nvidia-cdi-gen writes /run/cdi/nvidia.yaml at boot; no wrapper, no .real"
)

_TABLE = {
    facts.minor: facts
    for facts in (
        _release("1.7", toolkit="1.14.6", drivers=("535", "535"), containerd="1.7", methods=_PATCHED),
        _release(
            "1.8",
            toolkit="1.16.1",
            drivers=("535.183", "550.90"),
            containerd="2.0",
            methods=_PATCHED,
            hook=Strategy.REAL,
            more=("NVIDIA/nvidia-container-toolkit#735: 1.16.1 may need --mode=nvml --library-search-path",),
        ),
        _release(
            "1.9",
            toolkit="1.17",
            drivers=("535", "550"),
            containerd="2.0",
            methods=_PATCHED_JIT,
            hook=Strategy.REAL,
        ),
        _release(
            "1.10",
            toolkit="1.17",
            drivers=("535", "570"),
            containerd="2.0",
            methods=_PATCHED_JIT,
            hook=Strategy.REAL,
        ),
        _release(
            "1.11",
            toolkit="1.17.8",
            drivers=("535.247.01", "570.172"),
            containerd="2.1",
            methods=_PATCHED_JIT,
            hook=Strategy.REAL,
            proven=True,
            more=("siderolabs/talos v1.11.1: kernel 6.12.45, containerd 2.1.4",),
        ),
        _release(
            "1.12",
            toolkit="1.18.2",
            drivers=("580.126", "570.211"),
            containerd="2.2",
            methods=_PATCHED_JIT,
            hook=Strategy.REAL,
            more=("siderolabs/extensions#940: ld.so.cache lacks the NVIDIA libraries on 1.12.0 LTS",),
        ),
        _release(
            "1.13",
            toolkit="1.19.0",
            drivers=("580.178", "595.91"),
            containerd="2.2",
            methods=_NATIVE,
            more=(_CDI_SERVICE,),
        ),
        _release(
            "1.14",
            toolkit="1.19.1",
            drivers=("580.178", "595.91"),
            containerd="2.3",
            methods=_NATIVE,
            more=(_CDI_SERVICE, "siderolabs/talos 995bc30d5: apply never restarts the node"),
        ),
    )
}

RELEASES: tuple[ReleaseFacts, ...] = tuple(_TABLE.values())
"""Every known release, oldest first."""

_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.\d+(?:[-+][0-9A-Za-z.+-]+)?)?")


def strategy_for(version: str, *, treat_as: str | None = None) -> ReleaseFacts:
    """Return the facts of `version` (`v1.11.1`, `1.11`).

    `treat_as` names a known release whose facts are taken instead: the explicit way past a refusal.
    Raises UnknownRelease with the reason.
    """
    chosen = treat_as or version
    match = _VERSION.fullmatch(chosen)
    if match is None:
        raise UnknownRelease(chosen, "not a version such as v1.11.1")
    major, minor = int(match[1]), int(match[2])
    facts = _TABLE.get(f"{major}.{minor}")
    if facts is None:
        raise UnknownRelease(chosen, _unknown(major, minor))
    return facts


def _unknown(major: int, minor: int) -> str:
    if (major, minor) < (1, 7):
        return "older than 1.7, the first release that is in the table"
    if (major, minor) == (1, 15):
        return "its NVIDIA extension no longer has the container toolkit (the GPU Operator brings it): not handled here"
    return "newer than every release that is in the table: what it does with CDI specs is not known"


def _unfit(facts: ReleaseFacts, method: Method) -> str:
    if facts.native:
        return "the system makes its own CDI spec at boot, and an installed or patched one would break it"
    if method is Method.NATIVE:
        return "the system's own CDI service came with 1.13"
    return "its toolkit cannot make a spec in memory (that came with 1.9)"
