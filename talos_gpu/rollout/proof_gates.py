"""The gates that prove, by `talos_gpu.verify`: `spec-fresh` and `encode`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from talos_gpu.rollout.gates import NO_WORKER, Asked, Measured, Said, Verdict
from talos_gpu.rollout.waiting import NotYet, wait
from talos_gpu.settings import Settings
from talos_gpu.settings.stack_file import stack_settings
from talos_gpu.verify import host
from talos_gpu.verify.report import Outcome, Proof, Report
from talos_gpu.verify.run import Host
from talos_gpu.verify.stack import Options, verify
from talos_gpu.verify.subject import Credentials, Subject

UNIT = "x"
"""Of a speed: times real time."""
_BUSY_POLL_S = 5.0
"""Seconds between two looks at an encoder that others use: each look runs programs in the worker."""
_PASSING = frozenset(("busy", "no-pod", "container-lost", "spec-missing", "spec-unread"))
"""Causes that may go away by themselves: a transcode ends, a worker starts, the installer puts the spec back."""
_FINE = frozenset((Outcome.PROVEN, Outcome.SKIPPED))


def spec_fresh(asked: Asked) -> Said:
    """The CDI spec is installed, fit for the release's hook binaries, and of what is loaded now."""
    settings = stack_settings(asked.stack_file)
    subject, credentials = Subject.of(settings), _credentials(settings)

    async def look() -> Said | NotYet:
        unheard: asyncio.Future[Host] = asyncio.get_running_loop().create_future()
        return _told([await host.look(subject, credentials, unheard)], asked.stack)

    return wait(asked, look)


def encode(asked: Asked) -> Said:
    """The GPU encodes, decodes and computes in the worker; the encoders' speeds are measured.

    A transcode that runs is waited for, until the gate's time is over; then it could not tell.
    """
    settings = stack_settings(asked.stack_file)
    if settings.tdarr is None:
        return NO_WORKER

    async def look() -> Said | NotYet:
        report = await _report(asked)
        found = _told(report.proofs, asked.stack, lacks_encoder=report.outcome is Outcome.DISPROVEN)
        if isinstance(found, NotYet) or found.verdict is not Verdict.PASSED:
            return found
        pretended = "; the GPU is pretended: no speed says anything about hardware" if report.pretended else ""
        return Said(found.verdict, found.evidence + pretended, measured=_speeds(report))

    return wait(asked, look, _BUSY_POLL_S)


def speeds_before(asked: Asked) -> Mapping[str, Measured]:
    """The encoders' speeds before an update; none where nothing encodes yet, or the encoder is in use."""
    if stack_settings(asked.stack_file).tdarr is None:
        return {}
    return _speeds(asyncio.run(_report(asked)))


async def _report(asked: Asked) -> Report:
    settings = stack_settings(asked.stack_file)
    return await verify(asked.stack, Subject.of(settings), _credentials(settings), Options())


def _credentials(settings: Settings) -> Credentials:
    return Credentials(settings.talosconfig, settings.kubeconfig, settings.talos_context)


def _speeds(report: Report) -> dict[str, Measured]:
    return {proof.name: Measured(proof.speed.times_real_time, UNIT) for proof in report.proofs if proof.speed}


def _told(proofs: Sequence[Proof], stack: str, *, lacks_encoder: bool = False) -> Said | NotYet:
    """A gate's answer from proofs. `lacks_encoder`: an encoder that the GPU does not have counts as disproven."""
    fine = _FINE if lacks_encoder else _FINE | {Outcome.ABSENT}
    wrong = [proof for proof in proofs if proof.outcome not in fine]
    if not wrong:
        return Said(Verdict.PASSED, " ".join(proof.sentence for proof in proofs))
    known = [proof for proof in wrong if proof.outcome is not Outcome.UNKNOWN]
    shown, names = known or wrong, dict[str, list[str]]()
    for proof in shown:
        names.setdefault(proof.sentence, []).append(proof.name)
    remedies = dict.fromkeys(proof.remedy for proof in shown if proof.remedy)
    said = Said(
        Verdict.FAILED if known else Verdict.UNKNOWN,
        evidence="\n".join(line for proof in shown for line in proof.evidence),
        cause="; ".join(f"{', '.join(them)}: {sentence}" for sentence, them in names.items()),
        remedy="; ".join([*remedies, f"`talos-gpu doctor {stack}` says why"]),
    )
    return NotYet(said) if all(proof.cause in _PASSING for proof in shown) else said
