"""What ffmpeg's, nvidia-smi's and the CUDA driver's words mean, a sentence each.

Words: ffmpeg 5.1 (libavcodec/nvenc.c, libavutil/hwcontext_cuda.c), most of them as it said them on the mock GPU.
cuInit 100 and 999, and nvidia-smi without its nodes, were measured on an H100; 803 is the CUDA driver API's
reference. ffmpeg hides why a library was not loaded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

CUDA_API = "CUDA driver API, CUresult"
NVENC_C = "FFmpeg libavcodec/nvenc.c"
H100 = "measured on an H100, driver 580.159.04"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a GPU program failed."""

    name: str
    sentence: str
    remedy: str
    source: str


@dataclass(frozen=True, slots=True)
class Words:
    """A pattern and the cause that it tells; `{group}` in the sentence is the pattern's named group."""

    pattern: re.Pattern[str]
    cause: Cause

    def match(self, text: str) -> Cause | None:
        """The cause, its sentence filled in, if the text has the pattern."""
        found = self.pattern.search(text)
        if found is None:
            return None
        groups = {name: value or "" for name, value in found.groupdict().items()}
        return replace(self.cause, sentence=self.cause.sentence.format(**groups) if groups else self.cause.sentence)


def _words(pattern: str, name: str, sentence: str, remedy: str, source: str) -> Words:
    return Words(re.compile(pattern), Cause(name, sentence, remedy, source))


_REGENERATE = "generate and install the CDI spec anew (pulumi up --refresh), then restart the pod"
_RECREATE = "restart the pod: kubectl rollout restart deployment/NAME; CDI acts when a container is made, not later"
_RUNTIME = "give the pod the stack's runtimeClassName and NVIDIA_VISIBLE_DEVICES=all; the spec must mount the library"
_VERSIONS = "make kernel module and container toolkit extension of one version, then reboot and regenerate the spec"
_RESET = "talosctl dmesg | grep -i xid tells more; reboot the node if it stays so"

ALL: Sequence[Words] = (
    # the deepest cause first: later lines of ffmpeg's are consequences of earlier ones
    _words(
        r"Cannot load libcuda\.so\.1",
        "libcuda-missing",
        "The CUDA library libcuda.so.1 cannot be loaded in the container: the GPU was not injected, its library links "
        "were not made, or the image's C library is too old or is musl.",
        _RUNTIME,
        NVENC_C,
    ),
    _words(
        r"CUDA_ERROR_NO_DEVICE",
        "no-device",
        "CUDA finds no GPU (100): /dev/nvidiactl or /dev/nvidia0 is missing or refused in the container.",
        _REGENERATE,
        H100,
    ),
    _words(
        r"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        "driver-mismatch",
        "The driver library in the container and the loaded kernel module have different versions (CUDA 803).",
        _VERSIONS,
        CUDA_API,
    ),
    _words(
        r"cuInit\(0\) failed -> CUDA_ERROR_UNKNOWN",
        "cuda-unknown",
        "CUDA cannot start (999): /dev/nvidia-uvm is missing, has a stale major number, or is refused; nvidia-smi does "
        "not notice that.",
        _REGENERATE,
        H100,
    ),
    _words(
        r"No CUDA capable devices found|failed -> CUDA_ERROR_INVALID_DEVICE\b",
        "no-gpu",
        "The driver is there and counts no GPU: it is not on the bus, was given to a virtual machine, or is hidden by "
        "CUDA_VISIBLE_DEVICES.",
        "talosctl get pcidevices; talosctl dmesg | grep -i nvrm",
        CUDA_API,
    ),
    _words(
        r"CUDA_ERROR_OUT_OF_MEMORY",
        "gpu-memory",
        "The GPU's memory is full.",
        "nvidia-smi lists who holds it; end that, or run fewer transcodes at once",
        CUDA_API,
    ),
    _words(
        r"CUDA_ERROR_DEVICE_UNAVAILABLE",
        "gpu-taken",
        "The GPU is held exclusively by another program (compute mode), or is unavailable for now.",
        "nvidia-smi -q -d COMPUTE; end the other program or set the compute mode to Default",
        CUDA_API,
    ),
    _words(
        r"CUDA_ERROR_JIT_COMPILER_NOT_FOUND",
        "ptx-compiler-missing",
        "CUDA starts, but libnvidia-ptxjitcompiler.so.1 is missing in the container, so no kernel can be compiled.",
        _REGENERATE,
        CUDA_API,
    ),
    _words(
        r"Cannot load libnvidia-encode\.so\.1",
        "libnvidia-encode-missing",
        "CUDA works, but NVENC's library libnvidia-encode.so.1 cannot be loaded in the container: legacy injection "
        "without the capability `video`, or a spec that lacks it.",
        "with legacy injection set NVIDIA_DRIVER_CAPABILITIES=compute,video,utility; with CDI " + _REGENERATE,
        NVENC_C,
    ),
    _words(
        r"Driver does not support the required nvenc API version\. Required: (?P<need>[\d.]+) Found: (?P<have>[\d.]+)",
        "driver-too-old",
        "This ffmpeg is too new for the driver: it needs NVENC API {need}, the driver has {have}.",
        "take an older ffmpeg (Tdarr: ffmpegVersion=6 for driver 535), or a newer driver",
        "HaveAGitGat/Tdarr#797, HandBrake#6599",
    ),
    _words(
        r"EncodePicture failed|Failed to (?:un)?lock (?:bitstream|input) buffer|NvEncLockBitstream\(\) failed",
        "encoder-lost",
        "The encoder began and then failed in the middle of the work: the GPU fell off the bus, was reset, or its "
        "driver crashed.",
        _RESET,
        NVENC_C,
    ),
    _words(
        r"OpenEncodeSessionEx failed: out of memory \(10\)",
        "session-refused",
        "The driver opens no further encode session: the session limit of this card is reached, or its memory is full.",
        "run fewer transcodes at once (Tdarr: transcodegpuWorkers); a Quadro P2000 has no session limit, there it is "
        "memory",
        NVENC_C,
    ),
    _words(
        r"incompatible client key \(21\)|NV_ENC_ERR_INCOMPATIBLE_CLIENT_KEY",
        "session-limit",
        "The driver opens no further encode session: the session limit of this card is reached (current drivers say so "
        "with `incompatible client key`, older ones with `out of memory`).",
        "run fewer transcodes at once (Tdarr: transcodegpuWorkers); a patched driver library says the same where its "
        "patch does not fit",
        "obsproject/obs-studio#11259, keylase/nvidia-patch#987",
    ),
    _words(
        r"OpenEncodeSessionEx failed: unsupported device \(2\)",
        "nvenc-unsupported",
        "The driver says that this GPU cannot encode: it has no NVENC, or a MIG or vGPU profile without it.",
        "use a GPU with NVENC for transcoding; decoding and CUDA may work all the same",
        NVENC_C,
    ),
    _words(
        r"Codec not supported",
        "codec-unsupported",
        "The GPU's encoder does not know this codec.",
        "use a codec that this GPU encodes, or a GPU with NVENC of a newer generation",
        NVENC_C,
    ),
    _words(
        r"Max B-frames (?P<want>\d+) exceed (?P<have>\d+)",
        "b-frames",
        "The command asks for {want} B frames and this GPU's encoder makes {have} (Pascal makes none in HEVC).",
        "take -bf out of the command",
        NVENC_C,
    ),
    _words(
        r"(?P<what>Width|Height) (?P<want>\d+) exceeds (?P<have>\d+)",
        "too-large",
        "The picture is larger than this GPU's encoder takes: {what} {want}, at most {have}.",
        "scale it down, or encode it on the CPU",
        NVENC_C,
    ),
    _words(
        r"InitializeEncoder failed: (?P<why>[^\n]*\(\d+\))",
        "encoder-refuses",
        "The encoder refuses what the command asks of it: {why}.",
        "take options out of the command until it works; ffmpeg -h encoder=hevc_nvenc lists them",
        NVENC_C,
    ),
    _words(
        r"Cannot load libnvcuvid\.so\.1",
        "libnvcuvid-missing",
        "NVDEC's library libnvcuvid.so.1 cannot be loaded in the container.",
        "with legacy injection set NVIDIA_DRIVER_CAPABILITIES=compute,video,utility; with CDI " + _REGENERATE,
        "FFmpeg libavcodec/nvdec.c",
    ),
    _words(
        r"cuvidGetDecoderCaps\(.* failed -> (?P<why>CUDA_ERROR_\w+)",
        "nvdec-refuses",
        "NVDEC does not say what it can decode ({why}).",
        _RESET,
        "FFmpeg libavcodec/nvdec.c",
    ),
    _words(
        r"cuvidDecodePicture\(.* failed -> (?P<why>CUDA_ERROR_\w+)",
        "nvdec-fails",
        "NVDEC accepts the stream and then decodes no picture ({why}).",
        _RESET,
        "FFmpeg libavcodec/nvdec.c",
    ),
    _words(
        r"Unknown encoder '(?P<codec>\w+_nvenc)'",
        "ffmpeg-without-nvenc",
        "This ffmpeg was built without NVENC: it has no encoder {codec}.",
        "use an image whose ffmpeg has it (tdarr_node, jellyfin-ffmpeg, Debian's)",
        "FFmpeg configure",
    ),
    _words(
        r"(?:Unrecognized|Unknown) hwaccel: '?cuda|No such filter: '(?:hwupload|scale)_cuda'",
        "ffmpeg-without-cuda",
        "This ffmpeg was built without CUDA.",
        "use an image whose ffmpeg has it (tdarr_node, jellyfin-ffmpeg, Debian's)",
        "FFmpeg configure",
    ),
    _words(
        r"No capable devices found",
        "no-capable-gpu",
        "NVENC finds no GPU that can do what the command asks (a second GPU that is not there, or an option that this "
        "one does not have).",
        "take -gpu and unusual options out of the command",
        NVENC_C,
    ),
    _words(
        r"Driver/library version mismatch",
        "nvml-mismatch",
        "nvidia-smi's library and the loaded kernel module have different versions (NVML 18).",
        _VERSIONS,
        "NVML API, nvmlReturn_t",
    ),
    _words(
        r"couldn't communicate with the NVIDIA driver|Failed to initialize NVML: Driver Not Loaded",
        "driver-not-there",
        "nvidia-smi cannot reach the driver: the kernel module is not loaded, or /dev/nvidiactl is missing.",
        "declare nvidia, nvidia_uvm, nvidia_drm, nvidia_modeset in machine.kernel.modules; restart the pod",
        "NVML API, nvmlReturn_t",
    ),
    _words(
        r"Failed to initialize NVML: Unknown Error",
        "nvml-unknown",
        "nvidia-smi is refused by the device cgroup: /dev/nvidiactl is there and may not be opened.",
        _RECREATE,
        H100,
    ),
    _words(
        r"No devices (?:were )?found",
        "nvml-no-device",
        "nvidia-smi reaches the driver and finds no GPU: /dev/nvidia0 is missing in the container.",
        _REGENERATE,
        H100,
    ),
    _words(
        r"couldn't find libnvidia-ml\.so|Failed to initialize NVML: (?:Library|Shared library) [Nn]ot [Ff]ound",
        "libnvidia-ml-missing",
        "nvidia-smi is there and its library libnvidia-ml.so.1 is not: the library links were not made.",
        _REGENERATE,
        "NVML API, nvmlReturn_t",
    ),
)
"""Every known failure, the deeper cause before its consequences."""


def cause_of(text: str) -> Cause | None:
    """The deepest cause that the words tell; None where none is known."""
    return next((cause for words in ALL if (cause := words.match(text)) is not None), None)
