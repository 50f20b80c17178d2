"""The installer's real script on this host, while readers poll the folder: never half-written, never unpatched."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from typing_extensions import override

from gpu_proof.parts import OLDEST_TOOLKIT, Bundle
from gpu_proof.record import Record, proven
from gpu_proof.said import PATH, ours, tail
from gpu_proof.specs import Made
from gpu_proof.story import FOLDER, put
from talos_gpu.cdi import Strategy, facts, facts_file, patch
from tests.cdi.oracle_client import Oracle

TARGET = FOLDER / "nvidia.yaml"
ROUNDS = 40
_WITHIN = 8.0


class Reader(threading.Thread):
    """Reads every file that CDI would, as fast as it can, and counts what it finds by digest."""

    def __init__(self, known: dict[bytes, str]) -> None:
        super().__init__(daemon=True)
        self.known, self.found, self.reads = known, Counter[str](), 0
        self.over = threading.Event()

    @override
    def run(self) -> None:
        """Until `over`."""
        while not self.over.is_set():
            self.reads += 1
            for entry in os.scandir(FOLDER):
                if entry.name.endswith((".yaml", ".json")):
                    try:
                        data = Path(entry.path).read_bytes()
                    except FileNotFoundError:
                        continue
                    self.found[self.known.get(data, f"something else, {len(data)} bytes")] += 1


def prove(bundle: Bundle, made: Made, work: Path, oracle: Oracle) -> Iterator[Record]:
    """Records of the installer and of the command's own writing; leaves the patched spec in force."""
    yield _installer(bundle, made, work, oracle)
    yield _command(made)


def _installer(bundle: Bundle, made: Made, work: Path, oracle: Oracle) -> Record:
    put({})
    source = made.path(OLDEST_TOOLKIT)
    patched = patch(source.read_text(), Strategy.REAL)
    payload, state, log = work / "payload", work / "installer", work / "installer.log"
    shutil.rmtree(payload, ignore_errors=True)
    payload.mkdir()
    (payload / "nvidia.yaml").write_text(patched.text)
    (payload / "facts").write_text(facts_file(patched, facts(patched.text), node="proof"))
    environment = {
        "PATH": PATH,
        "HOST_ROOT": "",
        "SOURCE": str(source),
        "TARGET": str(TARGET),
        "PAYLOAD": str(payload),
        "INTERVAL": "0.02",
        "STATUS": str(state / "status"),
    }
    script = bundle.sources / "components/installer/install.sh"
    reader = Reader({patched.text.encode(): "the patched spec"})
    reader.start()
    back, answers = 0, Counter[str]()
    with log.open("wb") as out:
        process = subprocess.Popen(["sh", str(script), "run"], env=environment, stdout=out, stderr=out)
        try:
            for number in range(ROUNDS):
                back += _wait_for(TARGET)
                devices, errors = oracle.resolve([FOLDER])
                answers["serves the device" if "nvidia.com/gpu=all" in devices else "has no device"] += 1
                answers["errors"] += len(errors)
                if number < ROUNDS - 1:
                    TARGET.unlink()
        finally:
            process.terminate()
            process.wait(10)
    reader.over.set()
    reader.join()
    said = log.read_text()
    ok = (
        back == ROUNDS and reader.reads > ROUNDS and set(reader.found) == {"the patched spec"} and not answers["errors"]
    )
    return Record(
        "install/installer",
        f"the installer accepts this host and puts the spec back {ROUNDS} times; two readers only ever see it whole",
        "install.sh run (SOURCE, TARGET and the facts are this host's)",
        tail("\n".join(line.partition(" ")[2] for line in said.splitlines()[:12])),
        proven(ok),
        {
            "put_back": back,
            "reader_rounds": reader.reads,
            "reader_found": dict(reader.found),
            "go_library": dict(answers),
            "left": sorted(path.name for path in FOLDER.iterdir()),
        },
    )


def _command(made: Made) -> Record:
    source_of_one = made.path(OLDEST_TOOLKIT)
    patched = made.patched(OLDEST_TOOLKIT).read_bytes()
    other = patched + b"# another one\n"
    reader = Reader({patched: "the one spec", other: "the other spec"})
    second = made.folder.parent / "other.yaml"
    second.write_bytes(other)
    put({"nvidia.yaml": patched.decode()})
    reader.start()
    codes = Counter[int]()
    for number in range(12):
        source = second if number % 2 else source_of_one
        said = ours("cdi", "patch", source, "-o", TARGET)
        codes[said.code] += 1
    reader.over.set()
    reader.join()
    put({"nvidia.yaml": patched.decode()})
    return Record(
        "install/command",
        "`talos-gpu cdi patch -o` replaces a spec in force twelve times; a reader sees the one or the other, whole",
        f"talos-gpu cdi patch SPEC -o {TARGET}",
        "",
        proven(codes == {0: 12} and set(reader.found) == {"the one spec", "the other spec"}),
        {"reader_rounds": reader.reads, "reader_found": dict(reader.found)},
    )


def _wait_for(path: Path) -> bool:
    until = time.monotonic() + _WITHIN
    while not path.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
