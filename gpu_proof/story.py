"""The seed's story on real hardware: a spec in force, what our commands foretell, what the container then does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_proof.parts import NEWEST_TOOLKIT as NEWEST
from gpu_proof.parts import OLDEST_TOOLKIT as OLDEST
from gpu_proof.parts import Bundle, install_toolkit
from gpu_proof.record import Record, proven
from gpu_proof.runtime import ALL, NVIDIA_RUNTIME, Containerd
from gpu_proof.said import ours_json, tail
from gpu_proof.specs import HOOK_CTK, Made
from talos_gpu.cdi import facts

FOLDER = Path("/var/run/cdi")
OTHER = Path("/etc/cdi")
DEVICE = "nvidia.com/gpu=all"

WORK = "nvidia-smi -L; /usr/local/bin/gpu-work cuda"
_QUOTED = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Case:
    """Files put in force, the toolkit behind the wrapper, and what must come of it."""

    id: str
    claim: str
    files: Callable[[Made], Mapping[str, str]]
    """Specs by file name."""
    roots: tuple[str, ...] = ()
    """The doctor's roots; none on a healthy machine."""
    words: tuple[str, ...] = ()
    """What the container or its start must say."""
    starts: bool = False
    computes: bool = False
    toolkit: str = OLDEST
    how: tuple[str, ...] = ALL
    explained: tuple[str, ...] = ()
    """What `talos-gpu explain` makes of the words, exactly."""


def _one(made: Made, name: str, *, patched: bool = True) -> dict[str, str]:
    return {"nvidia.yaml": (made.patched(name) if patched else made.path(name)).read_text()}


def _stale(made: Made) -> dict[str, str]:
    text = _one(made, OLDEST)["nvidia.yaml"]
    driver = facts(text).driver_version or ""
    return {"nvidia.yaml": text.replace(driver, f"{driver.split('.')[0]}.100.01")}


def _wrong_major(made: Made) -> dict[str, str]:
    text = _one(made, NEWEST)["nvidia.yaml"]
    major, _ = facts(text).majors["/dev/nvidia-uvm"]
    changed = re.sub(rf"^(\s*(?:- )?major: ){major}$", r"\g<1>511", text, flags=re.MULTILINE)
    return {"nvidia.yaml": changed}


def _unknown_field(made: Made) -> dict[str, str]:
    return {"nvidia.yaml": _one(made, OLDEST)["nvidia.yaml"] + "foo: bar\n"}


CASES = (
    Case(
        "no-spec",
        "without a spec the device is unresolvable",
        lambda _: {},
        ("spec-missing",),
        (f"unresolvable CDI devices {DEVICE}",),
        explained=("device-unresolvable",),
    ),
    Case(
        "unpatched",
        "an unpatched spec dies in the wrapper",
        lambda made: _one(made, OLDEST, patched=False),
        ("spec-unpatched",),
        ("nvidia-container-runtime-wrapper: unknown command nvidia-cdi-hook",),
        explained=("wrapper-unknown-command",),
    ),
    Case(
        "patched",
        "the patched spec gives the container its GPU",
        lambda made: _one(made, OLDEST),
        starts=True,
        computes=True,
    ),
    Case(
        "hook-nvidia-ctk",
        "hooks by nvidia-ctk need no patch",
        lambda made: _one(made, HOOK_CTK, patched=False),
        starts=True,
        computes=True,
    ),
    Case(
        "nvidia-runtime",
        "the patched spec by NVIDIA's runtime in CDI mode, as a RuntimeClass has it",
        lambda made: _one(made, OLDEST),
        starts=True,
        computes=True,
        how=NVIDIA_RUNTIME,
    ),
    Case(
        "newest-toolkit",
        "the newest toolkit's spec, patched, with its own hook",
        lambda made: _one(made, NEWEST),
        starts=True,
        computes=True,
        toolkit=NEWEST,
    ),
    Case(
        "stale-driver",
        "a spec of another driver version fails the start",
        _stale,
        ("spec-stale",),
        ("failed to fulfil mount request", "no such file or directory"),
        explained=("spec-paths-missing",),
    ),
    Case(
        "wrong-uvm-major",
        "a stale major of nvidia-uvm: nvidia-smi lists the GPU, CUDA does not start",
        _wrong_major,
        ("uvm-major-moved",),
        ("GPU 0: ", "cuInit(0) failed -> CUDA_ERROR_UNKNOWN"),
        starts=True,
        toolkit=NEWEST,
        explained=("cuda-unknown",),
    ),
    Case(
        "newer-than-hook",
        "a spec newer than the hook binary fails the start",
        lambda made: _one(made, NEWEST),
        ("spec-newer-than-hook",),
        ("No help topic for",),
        explained=("spec-newer-than-hook",),
    ),
    Case(
        "conflict",
        "one device in two files of a folder: it comes from neither",
        lambda made: {**_one(made, OLDEST), "other.yaml": made.patched(OLDEST).read_text()},
        ("spec-conflict",),
        (f"unresolvable CDI devices {DEVICE}",),
        explained=("spec-conflict",),
    ),
    Case(
        "unknown-field",
        "an unknown field: containerd loads nothing of the file",
        _unknown_field,
        ("spec-invalid",),
        (f"unresolvable CDI devices {DEVICE}",),
        explained=("spec-invalid",),
    ),
)


def prove(bundle: Bundle, made: Made, runtime: Containerd) -> Iterator[Record]:
    """A record for each case; leaves the healthy state in force."""
    for case in CASES:
        install_toolkit(bundle, case.toolkit)
        put(case.files(made))
        yield _tried(case, runtime)
    install_toolkit(bundle, OLDEST)
    put(_one(made, OLDEST))


def put(files: Mapping[str, str]) -> None:
    """Make `files` the only specs in force."""
    for folder in (FOLDER, OTHER):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
    for name, text in files.items():
        (FOLDER / name).write_text(text)


def _tried(case: Case, runtime: Containerd) -> Record:
    resolved = ours_json("cdi", "resolve", "--device", DEVICE)["resolves"]
    doctor = ours_json("doctor", "--local")
    said = runtime.container(WORK, case.how)
    explained = [one["name"] for one in _explained(said.both)]
    roots = [one["check"] for one in doctor["findings"] if not one["explained_by"]]
    quoted = _quoted(doctor["findings"])
    unresolvable = "unresolvable CDI devices" in said.both
    computed = said.code == 0 and " 0 wrong" in said.text
    checks = {
        "resolve foretold it": resolved is not unresolvable,
        "doctor's roots are exactly these": tuple(dict.fromkeys(roots)) == case.roots,
        "what doctor quotes was said": all(words in said.both for words in quoted),
        "the words were said": all(words in said.both for words in case.words),
        "it started or not": ("GPU 0: " in said.text) is case.starts,
        "it computed or not": computed is case.computes,
        "explain names exactly this": tuple(explained) == case.explained,
    }
    return Record(
        f"story/{case.id}",
        case.claim,
        said.command,
        tail(said.both),
        proven(all(checks.values())),
        {
            "toolkit": case.toolkit,
            "resolves": resolved,
            "doctor": [
                {"root": one["check"], "evidence": one["evidence"]}
                for one in doctor["findings"]
                if not one["explained_by"]
            ],
            "doctor_explains": [one["check"] for one in doctor["findings"] if one["explained_by"]],
            "doctor_quotes": quoted,
            "could_not_be_told": doctor["could_not_be_told"],
            "explain": explained,
            "exit_code": said.code,
            "checks": checks,
        },
    )


def _explained(text: str) -> list[dict[str, Any]]:
    causes: list[dict[str, Any]] = ours_json("explain", text or "nothing was said")["causes"]
    return causes


def _quoted(findings: list[dict[str, Any]]) -> list[str]:
    """Words that the doctor says a container will fail with."""
    return [words.rstrip(". ") for one in findings for words in _QUOTED.findall(one["cause"])]
