"""What runs in the private namespaces: `python -m gpu_proof.inside BUNDLE WORK OUT`, started by `prove` alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from gpu_proof import installing, sandbox, specs, speed, story, work
from gpu_proof.parts import OLDEST_TOOLKIT, Bundle, install_toolkit, install_wrapper, lay_root
from gpu_proof.record import Journal, Record, Verdict
from gpu_proof.redact import hider
from gpu_proof.runtime import Containerd
from gpu_proof.said import run
from talos_gpu.cdi import Library
from tests.cdi.oracle_client import Oracle


def everything(bundle: Bundle, scratch: Path, journal: Journal) -> None:
    """Every part in its order; each writes its own records."""
    sandbox.enter(scratch)
    install_wrapper(bundle)
    install_toolkit(bundle, OLDEST_TOOLKIT)
    root = scratch / "root"
    programs = {
        "usr/local/bin/gpu-work": bundle.work / "gpu-work",
        "usr/local/share/clip.h264": bundle.work / "clip.h264",
    }
    lay_root(root, programs)
    made = specs.Made(scratch / "specs")
    with ExitStack() as stack:
        oracles = [
            stack.enter_context(Oracle(bundle.folder / "oracle" / f"oracle-{library}", scratch, library))
            for library in Library
        ]
        runtime = stack.enter_context(Containerd(bundle.bin, scratch, root))
        parts: dict[str, Callable[[], Iterator[Record]]] = {
            "specs": lambda: specs.prove(bundle, made, oracles),
            "story": lambda: story.prove(bundle, made, runtime),
            "work": lambda: work.prove(bundle, runtime),
            "install": lambda: installing.prove(bundle, made, scratch, oracles[0]),
            "speed": lambda: speed.prove(made, runtime, oracles[0]),
            "lab": lambda: _lab_tier(bundle, scratch / "lab"),
        }
        for name, part in parts.items():
            journal.attempt(name, part)
        _keep_specs(made, journal)
    journal.say("containerd's log:\n" + (scratch / "containerd.log").read_text())


def _lab_tier(bundle: Bundle, scratch: Path) -> Iterator[Record]:
    said = run("unshare", "--net", sys.executable, "-m", "gpu_proof.lab_tier", bundle.folder, scratch, seconds=90)
    for line in said.text.splitlines():
        fields = json.loads(line)
        yield Record(**{**fields, "verdict": Verdict(fields["verdict"])})
    if said.code != 0:
        logs = "\n".join(path.read_text()[-1500:] for path in scratch.glob("node/run/*.log"))
        raise RuntimeError(f"the lab's tier ended with {said.code}: {said.err[-1500:]}\n{logs}")


def _keep_specs(made: specs.Made, journal: Journal) -> None:
    kept = journal.folder / "specs"
    kept.mkdir(exist_ok=True)
    for path in sorted(made.folder.glob("*.yaml")):
        (kept / path.name).write_text(journal.hide(path.read_text()))


if __name__ == "__main__":
    everything(Bundle(Path(sys.argv[1])), Path(sys.argv[2]), Journal(Path(sys.argv[3]), hider()))
