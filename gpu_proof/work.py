"""Work on the GPU from inside a container: a CUDA kernel, NVDEC, and whether there is an NVENC."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from gpu_proof.parts import Bundle
from gpu_proof.record import Record, Verdict, proven
from gpu_proof.runtime import Containerd
from gpu_proof.said import joined, ours_json, tail

NO_NVENC = ("OpenEncodeSessionEx failed: unsupported device (2)", "OpenEncodeSessionEx failed: no encode device (1)")


def prove(bundle: Bundle, runtime: Containerd) -> Iterator[Record]:
    """With the healthy spec in force."""
    yield _cuda(runtime)
    yield _decode(bundle, runtime)
    yield _encode(runtime)


def _cuda(runtime: Containerd) -> Record:
    runs = [runtime.container("gpu-work cuda") for _ in range(3)]
    ok = all(said.code == 0 and " 0 wrong" in said.text for said in runs) and len({said.text for said in runs}) == 3
    return Record(
        "work/cuda",
        "a kernel compiled by the driver runs in the container; a million results are the CPU's, for three seeds",
        runs[0].command,
        tail("\n".join(said.both for said in runs)),
        proven(ok),
    )


def _decode(bundle: Bundle, runtime: Containerd) -> Record:
    wanted = json.loads((bundle.work / "clip.json").read_text())
    said = runtime.container("gpu-work decode /usr/local/share/clip.h264")
    claim = "NVDEC decodes H.264 in the container to the very bytes of FFmpeg's software decoder"
    digest = hashlib.sha256(said.out).hexdigest()
    facts = {
        "pictures": wanted["pictures"],
        "wanted_sha256": wanted["sha256"],
        "sha256": digest,
        "bytes": len(said.out),
    }
    if said.code and "Cannot load libnvcuvid.so.1" in said.err:
        verdict = Verdict.ABSENT
    else:
        verdict = proven(said.code == 0 and digest == wanted["sha256"])
    return Record("work/nvdec", claim, said.command, tail(said.err), verdict, facts)


def _encode(runtime: Containerd) -> Record:
    said = runtime.container("gpu-work encode")
    causes = ours_json("explain", said.both or "nothing was said")["causes"]
    absent = said.code != 0 and any(words in said.err for words in NO_NVENC)
    return Record(
        "work/nvenc",
        "this GPU has no NVENC, and explain says so" if absent else "NVENC opens a session",
        said.command,
        tail(said.both),
        Verdict.ABSENT if absent and causes else proven(said.code == 0),
        {"explain": joined([f"{one['name']}: {one['cause']}" for one in causes])},
    )
