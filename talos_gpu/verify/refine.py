"""One error of the driver's has several causes: what else was seen tells which."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from talos_gpu.verify.inside import Inside
from talos_gpu.verify.report import ENCODERS, Outcome, Proof
from talos_gpu.verify.smi import Smi
from talos_gpu.verify.words import Cause

WITHOUT_NVENC = (
    *("A100", "A100X", "A30", "A30X", "A800", "H100", "H200", "H800", "H20"),
    *("B100", "B200", "GH200", "GB200", "GT 1030"),
)
"""Words of names of GPUs without NVENC: NVIDIA's Video Encode and Decode GPU Support Matrix."""
_NAMED = re.compile(rf"(?<!\w)(?:{'|'.join(WITHOUT_NVENC)})(?!\w)")
_CANNOT = frozenset(("nvenc-unsupported", "codec-unsupported"))


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen around a failure."""

    inside: Inside = field(default_factory=Inside)
    smi: Smi | None = None
    host_majors: Mapping[str, int] | None = None


def refine(cause: Cause, seen: Seen) -> Cause:
    """The cause as exactly as what was seen allows."""
    inside = seen.inside
    match cause.name:
        case "cuda-unknown" | "no-device" if inside.nodes:
            missing, refused = inside.missing_nodes(), inside.refused_nodes()
            stale = inside.stale_nodes(seen.host_majors)
            if missing:
                name = "uvm-missing" if "/dev/nvidia-uvm" in missing else "node-missing"
                return replace(cause, name=name, sentence=f"CUDA cannot start: {', '.join(missing)} is not there.")
            if stale:
                [(path, have, kernel), *_] = stale
                sentence = (
                    f"CUDA cannot start: {path} in the container has major {have}, the kernel's is now {kernel} (it "
                    "moved at the last boot)."
                )
                return replace(cause, name="uvm-stale", sentence=sentence)
            if refused:
                sentence = f"CUDA cannot start: {', '.join(refused)} is there and may not be opened."
                return replace(cause, name="node-refused", sentence=sentence)
            if cause.name == "cuda-unknown":
                sentence = (
                    "CUDA cannot start (999) though the device nodes are there and right: the driver itself is in a "
                    "bad state."
                )
                return replace(cause, name="driver-broken", sentence=sentence, remedy="reboot the node")
        case "session-refused" | "session-limit" if seen.smi is not None:
            if seen.smi.full and cause.name == "session-refused":
                sentence = (
                    f"No encode session: the GPU's memory is full ({seen.smi.used_mib} of {seen.smi.memory_mib} MiB)."
                )
                return replace(cause, name="gpu-memory", sentence=sentence)
            if seen.smi.sessions:
                sentence = f"No further encode session: {seen.smi.sessions} are open and this card allows no more."
                return replace(cause, name="session-limit", sentence=sentence)
        case _:
            pass
    return cause


def settle_encoders(proofs: tuple[Proof, ...], smi: Smi | None) -> tuple[Proof, ...]:
    """A model without NVENC, or without one codec, told from a broken encoder: its proofs are ABSENT, not DISPROVEN."""
    refused = {proof.name for proof in proofs if proof.name in ENCODERS and proof.cause in _CANNOT}
    model = smi.name if smi is not None else "this GPU"
    return tuple(_settled(proof, refused, model) if proof.name in refused else proof for proof in proofs)


def _settled(proof: Proof, refused: set[str], model: str) -> Proof:
    if refused != set(ENCODERS):
        codec = proof.name.partition("_")[0].upper()
        sentence = f"{model} encodes, but not {codec}: its generation has no {codec} encoder; it is not broken."
        return replace(proof, outcome=Outcome.ABSENT, cause=f"no-{codec.lower()}", sentence=sentence)
    if _NAMED.search(model):
        sentence = f"{model} has no NVENC, as is known of this model; it is not broken, it cannot transcode."
        return replace(proof, outcome=Outcome.ABSENT, cause="no-nvenc", sentence=sentence)
    sentence = f"The driver says that {model} cannot encode, though this model is none of those without NVENC."
    return replace(proof, cause="nvenc-unsupported", sentence=sentence, remedy=_REFUSED)


_REFUSED = (
    "look for a MIG or vGPU profile without NVENC; else reboot the node (talosctl dmesg | grep -i xid tells more), and "
    "take another card if it stays so"
)
