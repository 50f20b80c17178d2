"""What an approval is bound to: the commit, the files, the configuration and the state, as they are now."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from talos_gpu.errors import UsageError
from talos_gpu.rollout.plan import Versions, digest
from talos_gpu.rollout.pulumi_cli import Pulumi

ResultT = TypeVar("ResultT")
_KEPT = ("urn", "type", "id", "inputs", "outputs", "parent", "provider", "delete", "protect", "external", "taint")


@dataclass(frozen=True, slots=True)
class Source:
    """A project's files."""

    commit: str
    """Of HEAD, hex."""
    digest: str
    """SHA-256 over all files that git does not ignore, hex; stack files and rollout.yaml have digests of their own."""
    clean: bool
    """Whether they are those of the commit."""


def source_of(project: Path, rollout: Path) -> Source:
    """The project's files as they are. Raises UsageError if it is not under git or has no commit yet."""
    commit = _git(project, "rev-parse", "--verify", "HEAD").strip()
    listed = _git(project, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
    names = sorted({name for name in listed.split("\0") if name})
    total = hashlib.sha256()
    for name in names:
        path = project / name
        if _is_stack_file(name) or path.resolve() == rollout.resolve() or not path.is_file():
            continue
        total.update(f"{name}\0{file_digest(path)}\0".encode())
    clean = not _git(project, "status", "--porcelain", "--", ".").strip()
    return Source(commit, total.hexdigest(), clean)


def counts(project: Path, path: Path) -> bool:
    """Whether what lies, or would lie, at `path` is one of the project's files for `source_of`."""
    if not path.resolve().is_relative_to(project.resolve()):
        return False
    words = ["git", "check-ignore", "--quiet", "--", str(path.resolve())]
    return subprocess.run(words, cwd=project, capture_output=True, check=False).returncode == 1


def place_of(project: Path) -> str:
    """A project's folder in its repository, "" for the top. Raises UsageError as `source_of`."""
    return _git(project, "rev-parse", "--show-prefix").strip().rstrip("/")


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hex; "" if there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def state_digest(deployment: Mapping[str, Any]) -> str:
    """SHA-256 over what a stack's resources are, hex. An update that changes nothing does not move it."""
    resources = [
        {key: resource[key] for key in _KEPT if resource.get(key)} for resource in deployment.get("resources") or ()
    ]
    return digest([resources, deployment.get("pending_operations") or []])


def versions(pulumi: Pulumi, rollout: Path, stacks: Iterable[str], states: Sequence[str], *, parallel: int) -> Versions:
    """Everything that an approval is bound to, as it is now; of `states` the state too."""
    source = source_of(pulumi.project, rollout)
    return Versions(
        commit=source.commit,
        source=source.digest,
        rollout=file_digest(rollout),
        configs={name: file_digest(pulumi.stack_file(name)) for name in stacks},
        states=dict(each(lambda name: state_digest(pulumi.state(name)), states, parallel)),
    )


def each(do: Callable[[str], ResultT], names: Sequence[str], parallel: int) -> Iterable[tuple[str, ResultT]]:
    """`do` for every name, so many at a time; the results in the order of the names."""
    with ThreadPoolExecutor(parallel) as pool:
        return list(zip(names, pool.map(do, names), strict=True))


def _is_stack_file(name: str) -> bool:
    return "/" not in name and name.startswith("Pulumi.") and name.endswith(".yaml") and name != "Pulumi.yaml"


def _git(project: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=project, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UsageError("there is no git on PATH", remedy="install git: an approval is bound to a commit") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["no answer"]
        raise UsageError(
            f"{project} has no commit to approve: {said[0]}", remedy="put the project under git and commit it"
        )
    return done.stdout
