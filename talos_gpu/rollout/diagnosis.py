"""Why a stack failed, in the doctor's words: what `talos-gpu doctor` would say at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from talos_gpu.doctor.finding import Diagnosis, Finding, Severity
from talos_gpu.errors import TalosGpuError
from talos_gpu.rollout.runner import Ended
from talos_gpu.settings.stack_file import stack_settings

REASONS = frozenset(("update-failed", "rollback-failed", "gate-failed", "gate-unknown"))
"""Reasons of a failed step whose cause may be the node's."""
_SECONDS = 120.0
"""How long the doctor may take; it needs a second or two where node and cluster answer."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the doctor found; `unable` is why it could not look at node or cluster, "" if it could."""

    findings: Sequence[Finding] = ()
    unable: str = ""


def look(stack: str, stack_file: Path) -> Told:
    """Ask the doctor about a stack's node, now: its errors that no other finding explains, without those its warnings.

    What goes wrong with that is told, never raised: it is asked about something that has failed already.
    """
    try:
        return told(asyncio.run(_diagnosed(stack, stack_file)))
    except TalosGpuError as error:
        return Told(unable=error.message)
    except TimeoutError:
        return Told(unable=f"it had no answer within {_SECONDS:g} s")
    except (OSError, ValueError, LookupError, RuntimeError) as error:
        return Told(unable=f"{type(error).__name__}: {error}")


async def _diagnosed(stack: str, stack_file: Path) -> Diagnosis:
    # most rollouts need no doctor, who is heavy
    from talos_gpu.doctor.diagnose import diagnose  # noqa: PLC0415
    from talos_gpu.doctor.gather import gather  # noqa: PLC0415

    settings = stack_settings(stack_file)
    async with asyncio.timeout(_SECONDS):
        return diagnose(await gather(stack, settings))


def told(diagnosis: Diagnosis) -> Told:
    """What of a diagnosis a report shows."""
    roots = diagnosis.roots
    if errors := [finding for finding in roots if finding.severity is Severity.ERROR]:
        return Told(errors)
    unseen = diagnosis.blind if diagnosis.ran else diagnosis.not_run
    reasons = dict.fromkeys(" ".join((one.reason.partition(": ")[2] or one.reason).split()) for one in unseen)
    unable = "; ".join(reasons) or ("" if diagnosis.ran else "no check ran")
    return Told([finding for finding in roots if finding.severity is Severity.WARNING] or (), unable)


def with_words(ended: Ended, told: Told) -> Ended:
    """A failed step with what the doctor said of it: in its cause, a line each, and whole in its details."""
    lines = [f"doctor: {one.check}: {one.cause} ({one.evidence}); {one.remedy}" for one in told.findings]
    if told.unable:
        lines.append(f"doctor: could not look: {told.unable}")
    cause = "\n".join([ended.cause, *(lines or ["doctor: nothing wrong found"])])
    if told.unable and not told.findings:
        return replace(ended, cause=cause)
    return replace(ended, cause=cause, details={**ended.details, "doctor": [asdict(one) for one in told.findings]})
