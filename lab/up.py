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

    Run again it rebuilds nothing and changes nothing. Raises LabError with the reason and the remedy; what was reached
    stays, and the next `up` goes on from there.
    """
    started = time.monotonic()
    lab = Lab(name, prepare_machine(say))
    with lab.locked():
        with step_of("lab: network, control plane, node", say):
            lab.make()
            lab.start(say)
            kubectl.wait_node_ready(lab, [node.name for node in lab.nodes])
        stack = Stack(lab, lab.node())
        with step_of(f"pulumi up -s {stack.name}", say):
            stack.init()
            done = stack.operation("up", "--skip-preview", check=False)
            say(_indent(done.stdout + done.stderr))
            if done.returncode:
                raise StepFailed(f"`pulumi up -s {stack.name}` ended with {done.returncode}; what it said is above")
        with step_of("verification, as in the seed", say):
            plugins = which(lab.paths.pulumi_home)
            claims = [_talos_claim(stack), *proof.claims(stack), _quiet_claim(stack), _plugins_claim(plugins)]
        report = Report(claims, plugins, time.monotonic() - started)
        report.save(lab.paths.root / "report.json")
    return report


def _talos_claim(stack: Stack) -> Claim:
    outputs = stack.outputs()
    return Claim(
        "machine",
        "the machine config was applied, the node rebooted where it had to, and it holds",
        Verdict.PRETENDED,
        f"{outputs.get('node')}: Talos is pretended (Talos's own machinery module, not Talos)",
    )


def _quiet_claim(stack: Stack) -> Claim:
    done = stack.operation("preview", "--refresh", "--expect-no-changes", check=False)
    sentence = "a second look at node and cluster finds nothing to change"
    if done.returncode:
        return Claim("quiet", sentence, Verdict.FAILED, " ".join((done.stdout + done.stderr)[-600:].split()))
    return Claim("quiet", sentence, Verdict.PROVEN, "pulumi preview --refresh --expect-no-changes: exit 0")


def _plugins_claim(plugins: Mapping[str, str]) -> Claim:
    named = ", ".join(f"{plugin}: {kind}" for plugin, kind in sorted(plugins.items()))
    official = all(kind == "official" for kind in plugins.values())
    verdict = Verdict.PROVEN if official else Verdict.PRETENDED
    return Claim("plugins", "the program ran on the real Pulumi engine", verdict, f"provider plugins: {named}")


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines())
