"""kubectl on the lab's cluster."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from lab.errors import StepFailed
from lab.lab import Lab


def command(lab: Lab, *words: str) -> list[str]:
    """The command line of `kubectl WORDS` with the lab's credentials; what it caches ends with the lab."""
    own = ["--kubeconfig", str(lab.paths.kubeconfig), "--cache-dir", str(lab.paths.root / "kubectl-cache")]
    return [str(lab.binaries / "kubectl"), *own, *words]


def kubectl(lab: Lab, *words: str, check: bool = True, timeout: float = 120.0, stdin: str | None = None) -> str:
    """What `kubectl WORDS` prints; StepFailed with its error unless it ends with 0 or not `check`."""
    done = run(lab, *words, timeout=timeout, stdin=stdin)
    if check and done.returncode:
        raise StepFailed(f"`kubectl {' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def run(lab: Lab, *words: str, timeout: float = 120.0, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run `kubectl WORDS` and return all that it said."""
    return subprocess.run(
        command(lab, *words),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        input=stdin if stdin is not None else "",
    )


def get(lab: Lab, *words: str) -> Any:  # noqa: ANN401 - whatever object the API server answers
    """`kubectl get WORDS -o json`, parsed."""
    return json.loads(kubectl(lab, "get", *words, "-o", "json"))


def ready(found: Mapping[str, Any]) -> bool:
    """Whether a pod or a node is Ready."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in found["status"].get("conditions", ()))


def wait_node_ready(lab: Lab, names: Sequence[str], seconds: int = 90) -> None:
    """Return when every node of `names` is registered and Ready."""
    targets = [f"node/{name}" for name in names]
    kubectl(lab, "wait", "--for=create", *targets, f"--timeout={seconds}s", timeout=seconds + 10)
    kubectl(lab, "wait", "--for=condition=Ready", *targets, f"--timeout={seconds}s", timeout=seconds + 10)
