"""`up`: from a bare machine to an encoding worker, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lab import images, kubectl, proof, toolchain
from lab.engine.install import which
from lab.errors import StepFailed
from lab.gpu import build as gpu
from lab.lab import Lab
from lab.report import Claim, Report, Verdict
from lab.stack import Stack
from lab.system import NODE_PACKAGES, ensure, need_root

Say = Callable[[str], None]


@contextmanager
def step_of(title: str, say: Say) -> Iterator[None]:
    """Say a step's title and, at its end, its seconds."""
    say(f"==> {title}")
    started = time.monotonic()
    yield
    say(f"    {time.monotonic() - started:.1f} s")


def prepare_machine(say: Say) -> Path:
    """Install the missing system packages, find or build the programs; returns their folder."""
    need_root("the lab")
    ensure({*NODE_PACKAGES, *gpu.SYSTEM_PACKAGES, *images.SYSTEM_PACKAGES})
    with step_of("toolchain", say):
        return toolchain.ensure(report=say)


def bring_up(name: str, say: Say) -> Report:
    """Install what is missing, build or find the programs, start the lab, run the stack, verify.

    Run again it rebuilds nothing and changes nothing, unless something has moved, which it mends. Raises LabError with
    the reason and the remedy; what was reached stays, and the next `up` goes on from there.
    """
    started = time.monotonic()
    lab = Lab(name, prepare_machine(say))
    told = lab.paths.root / "report.json"
    with lab.locked():
        told.unlink(missing_ok=True)  # of an `up` that does not end, the last one's must not speak
        with step_of("lab: network, control plane, node", say):
            lab.make()
            lab.start(say)
            kubectl.wait_node_ready(lab, [node.name for node in lab.nodes])
        stack = Stack(lab, lab.node())
        plugins = which(lab.paths.pulumi_home)
        with step_of(f"pulumi up -s {stack.name}", say):
            try:
                _update(stack, say)
            except StepFailed as error:
                failed = Claim("up", "`pulumi up` makes everything", Verdict.FAILED, str(error))
                Report([failed], plugins, time.monotonic() - started).save(told)
                raise
        with step_of("verification, as in the seed", say):
            claims = [*proof.claims(stack), _plugins_claim(plugins)]
        report = Report(claims, plugins, time.monotonic() - started)
        report.save(told)
    return report


def _update(stack: Stack, say: Say) -> None:
    """`pulumi up`; where there is something already it looks again first, and mends what has moved."""
    stack.init()
    look = ["--refresh"] if any(stack.resources()) else []
    done = stack.operation("up", "--skip-preview", *look, check=False)
    said = done.stdout + done.stderr
    say(_indent(said))
    if done.returncode:
        raise StepFailed(
            f"`pulumi up -s {stack.name}` ended with {done.returncode}; what it said is above: {_why(said)}"
        )


def _why(said: str) -> str:
    """The last error that `pulumi` tells of, in one line; its last words where there is none."""
    errors = [line.strip() for line in said.splitlines() if "error:" in line]
    return errors[-1] if errors else " ".join(said[-600:].split())


def _plugins_claim(plugins: Mapping[str, str]) -> Claim:
    named = ", ".join(f"{plugin}: {kind}" for plugin, kind in sorted(plugins.items()))
    official = all(kind == "official" for kind in plugins.values())
    verdict = Verdict.PROVEN if official else Verdict.PRETENDED
    return Claim("plugins", "the program ran on the real Pulumi engine", verdict, f"provider plugins: {named}")


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines())
