"""Settings of CDI: how containers get the GPU."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from talos_gpu.settings.base import Strict
from talos_gpu.settings.rules import GeneratorFlag, Image, Name
from talos_gpu.talos.part import RUNTIME

_Spelled = Literal["spec", "jit-cdi", "jit", "native", "sysctl"]


def _short(method: object) -> object:
    return "jit" if method == "jit-cdi" else method


class Cdi(Strict):
    """How containers get the GPU."""

    method: Annotated[
        Literal["spec", "jit", "native", "sysctl"], BeforeValidator(_short, json_schema_input_type=_Spelled)
    ] = Field(
        default="spec",
        title="Method",
        description="`spec`: a spec generated on the host, patched and installed at each boot (Talos 1.7 to 1.12). "
        "`jit`, or `jit-cdi`: the extension's runtime makes it in memory (1.9 to 1.12). "
        "`native`: the system's own service makes it (from 1.13). "
        "`sysctl`: legacy injection with net.core.bpf_jit_harden lowered to 1 (up to 1.12).",
    )
    hook: Literal["auto", "real", "nvidia-ctk"] = Field(
        default="auto",
        title="Hook binary",
        description="`auto`: by what lies on the node. `real`: patch to nvidia-cdi-hook.real. "
        "`nvidia-ctk`: generate with --nvidia-cdi-hook-path=/usr/local/bin/nvidia-ctk, no patch at all.",
    )
    regenerate: Literal["never", "boot"] = Field(
        default="never",
        title="Regeneration",
        description="`boot`: the installer generates and patches anew by itself when the driver moved, or when a "
        "device node or path that the spec names is missing at two looks in a row.",
    )
    image: Image = Field(
        default="docker.io/library/debian:12-slim",
        title="Image of generator and installer",
        description="Needs sh, coreutils and util-linux's nsenter; Debian's slim images have them.",
    )
    runtime: Literal["runtime-class", "default"] = Field(
        default="runtime-class",
        title="Runtime",
        description="`runtime-class`: pods ask for the NVIDIA runtime. "
        "`default`: every pod of the node goes through it (method spec only).",
    )
    runtime_class: Name | None = Field(
        default=None,
        title="Name of the RuntimeClass",
        description="Default: the runtime's own name, nvidia-cdi for method spec, nvidia for the others.",
    )
    runtime_class_owner: bool = Field(
        default=True,
        title="Owner of the RuntimeClass",
        description="Whether this stack makes the RuntimeClass, which all stacks of a cluster share: one owner.",
    )
    generator_deadline_s: int = Field(
        default=120,
        ge=10,
        le=3600,
        title="Deadline of the generator",
        description="Seconds within which the generator's Job must have written the spec, image pull included.",
    )

    generator_flags: tuple[GeneratorFlag, ...] = Field(
        default=(),
        title="Flags of the generator",
        description="Appended to `nvidia-ctk cdi generate`, which is executed without a shell; where it does not find "
        "libcuda.so (Talos 1.8): `--mode=nvml`, `--library-search-path=/usr/local/glibc/usr/lib`.",
    )

    @property
    def handler(self) -> str:
        """containerd's runtime behind the RuntimeClass."""
        return RUNTIME if self.method == "spec" else "nvidia"

    @property
    def runtime_class_name(self) -> str:
        """The RuntimeClass's name."""
        return self.runtime_class or self.handler

    @property
    def visible_devices(self) -> str:
        """NVIDIA_VISIBLE_DEVICES of a container that gets every GPU of the node."""
        return "runtime.nvidia.com/gpu=all" if self.method == "jit" else "all"
