"""Specs made here by four toolkits: accepted, patched by splice, patched once, accepted by the official Go library."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpu_proof.parts import TOOLKITS, Bundle, install_toolkit
from gpu_proof.record import Record, proven
from gpu_proof.said import joined, ours, run, tail
from talos_gpu.cdi import Library, facts, sha256
from talos_gpu.cdi.strategy import CDI_HOOK, CDI_HOOK_REAL, NVIDIA_CTK
from tests.cdi.oracle_client import Oracle

HOOK_CTK = "hook-nvidia-ctk"
"""Name of the spec whose hooks nvidia-ctk runs: no patch."""


@dataclass(frozen=True, slots=True)
class Made:
    """The specs of this machine by name (a toolkit's release, or HOOK_CTK), as files of `folder`."""

    folder: Path

    def path(self, name: str) -> Path:
        """Where the generated spec lies."""
        return self.folder / f"toolkit-{name}.yaml"

    def patched(self, name: str) -> Path:
        """Where the patched one lies."""
        return self.folder / f"toolkit-{name}-patched.yaml"


def prove(bundle: Bundle, made: Made, oracles: list[Oracle]) -> Iterator[Record]:
    """Records of every toolkit in the bundle; leaves the specs in the folder and the first toolkit in place."""
    made.folder.mkdir(parents=True, exist_ok=True)
    for release in TOOLKITS:
        install_toolkit(bundle, release)
        yield _generated(made.path(release), release)
        yield from _judged(made, release, release, oracles)
    install_toolkit(bundle, TOOLKITS[0])
    yield _generated(made.path(HOOK_CTK), TOOLKITS[0], f"--nvidia-cdi-hook-path={NVIDIA_CTK}")
    yield from _judged(made, HOOK_CTK, f"{TOOLKITS[0]}, hooks by nvidia-ctk", oracles)


def _generated(path: Path, release: str, *flags: str) -> Record:
    version = run("nvidia-ctk", "--version").text
    words = (*flags, f"--output={path}")
    said = run("nvidia-ctk", "cdi", "generate", *words, called=f"nvidia-ctk cdi generate {' '.join(flags)}".strip())
    text = path.read_text() if path.exists() else ""
    needed = facts(text) if text else None
    ok = said.code == 0 and needed is not None and f"version {release}" in version
    return Record(
        f"generate/{path.stem.removeprefix('toolkit-')}",
        f"nvidia-ctk {release} makes a spec of the real GPU",
        said.command,
        tail(said.err, 3),
        proven(ok),
        {
            "sha256": sha256(text),
            "hooks": text.count("hookName:"),
            "mounts": len(needed.host_paths) - len(needed.device_nodes) if needed else 0,
            "majors": {path: list(numbers) for path, numbers in needed.majors.items()} if needed else {},
            "driver": needed.driver_version if needed else None,
            "spec": f"specs/{path.name}",
        },
    )


def _judged(made: Made, name: str, called: str, oracles: list[Oracle]) -> Iterator[Record]:
    path, patched = made.path(name), made.patched(name)
    for library in Library:
        said = ours("cdi", "validate", "--library", str(library), path)
        yield Record(
            f"validate/{name}/{library}",
            f"our validation accepts the spec of {called}, as the CDI library {library} does",
            f"talos-gpu cdi validate --library {library} {path.name}",
            said.both,
            proven(said.code == 0),
        )
    strategy = "nvidia-ctk" if name == HOOK_CTK else "real"
    said = ours("cdi", "patch", "--strategy", strategy, path, "-o", patched)
    before, after = path.read_text(), patched.read_text()
    yield Record(
        f"patch/{name}",
        f"the patch of {called} changes hook paths and no other byte",
        f"talos-gpu cdi patch --strategy {strategy} {path.name} -o {patched.name}",
        said.both,
        proven(said.code == 0 and _only_paths(before, after, changed=strategy == "real")),
        {"changed_lines": _changed_lines(before, after), "sha256": sha256(after), "spec": f"specs/{patched.name}"},
    )
    again = ours("cdi", "patch", "--strategy", strategy, patched)
    yield Record(
        f"idempotent/{name}",
        f"a second patch of {called} changes nothing",
        f"talos-gpu cdi patch --strategy {strategy} {patched.name}",
        f"{len(again.out)} bytes, {'the same' if again.out == patched.read_bytes() else 'other'} bytes",
        proven(again.code == 0 and again.out == patched.read_bytes()),
    )
    verdicts = {str(oracle.library): oracle.verdict(after) for oracle in oracles}
    yield Record(
        f"oracle/{name}",
        f"the official Go library accepts the patched spec of {called}",
        "cdi.ReadSpec of container-device-interface",
        joined([f"{library}: {verdict}" for library, verdict in verdicts.items()]),
        proven(bool(verdicts) and all(verdict == "ok" for verdict in verdicts.values())),
    )


def _only_paths(before: str, after: str, *, changed: bool) -> bool:
    """Whether `after` is `before` with every hook path replaced, byte for byte, and by another way than the patch's."""
    wanted = "".join(
        line.replace(CDI_HOOK, CDI_HOOK_REAL) if line.strip().startswith("path: ") else line
        for line in before.splitlines(keepends=True)
    )
    return after == (wanted if changed else before) and (before != after) is changed


def _changed_lines(before: str, after: str) -> int:
    return sum(line.startswith("+ ") for line in difflib.ndiff(before.splitlines(), after.splitlines()))
