"""Runs every check over one bundle and finds the roots."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from talos_gpu.doctor.bundle import META, NOT_THERE, Bundle
from talos_gpu.doctor.checks import CHECKS
from talos_gpu.doctor.errors import Unread
from talos_gpu.doctor.finding import Check, Diagnosis, Finding, Found, Lacks, NotRun, Severity
from talos_gpu.doctor.meta import Meta
from talos_gpu.doctor.view import View
from talos_gpu.errors import TalosGpuError

_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""A bundle from elsewhere can hold anything: what does not have the form is evidence that cannot be read."""

_SOURCES = (("talos/", "host/", "lists/"), ("cluster/",))
"""Keys of the node's evidence, and of the cluster's."""
_RIGHTS = re.compile(r"needs role os:|\b403\b|Operation not permitted|Permission denied")
"""Talos's, Kubernetes's and this machine's ways to say that one may not."""


def diagnose(bundle: Bundle, checks: Sequence[Check] = CHECKS) -> Diagnosis:
    """All findings; a check whose evidence is not there says why and stops nothing."""
    view = View(bundle)
    findings: list[Finding] = []
    not_run: list[NotRun] = []
    for check in checks:
        try:
            found = [_finding(check, one, view) for one in check.look(view)]
        except Unread as error:
            not_run.append(NotRun(check.name, f"{error.key}: {error.reason}", _lacks(check, bundle, error)))
        except TalosGpuError as error:
            not_run.append(NotRun(check.name, error.message))
        except _MALFORMED as error:
            why = f"the evidence has another form: {type(error).__name__} {error}"
            not_run.append(
                NotRun(check.name, why, Lacks.EVIDENCE if check.severity is Severity.ERROR else Lacks.NOTHING)
            )
        else:
            findings += found
    return Diagnosis(_subject(view), tuple(_tree(findings, checks)), tuple(not_run), len(checks) - len(not_run))


def _lacks(check: Check, bundle: Bundle, missing: Unread) -> Lacks:
    source = next((source for source in _SOURCES if missing.key.startswith(source)), None)
    if check.severity is not Severity.ERROR or source is None or missing.reason == NOT_THERE:
        return Lacks.NOTHING
    answered = any(key.startswith(source) for key in bundle.texts)
    return Lacks.RIGHTS if answered and _RIGHTS.search(missing.reason) else Lacks.EVIDENCE


def _subject(view: View) -> str:
    try:
        return view.node or ""
    except (TalosGpuError, *_MALFORMED):
        return ""


def _finding(check: Check, found: str | Found, view: View) -> Finding:
    exact = found if isinstance(found, Found) else Found(found)
    return Finding(
        check=check.name,
        severity=check.severity,
        evidence=exact.evidence,
        cause=exact.cause or check.cause,
        remedy=_filled(exact.remedy or check.remedy, view),
        source=check.source,
    )


def _filled(remedy: str, view: View) -> str:
    """A remedy with the stack's own names in the places of NODE, STACK and NAMESPACE, as far as a stack says them."""
    meta = view.meta if META in view.bundle.texts else Meta()
    for place, name in (("NODE", meta.node), ("STACK", meta.stack), ("NAMESPACE", meta.namespace)):
        if name is not None:
            remedy = re.sub(rf"\b{place}\b", str(name).replace("\\", r"\\"), remedy)
    return remedy


def _tree(findings: Iterable[Finding], checks: Sequence[Check]) -> list[Finding]:
    """Findings with `explained_by` set, roots first in the checks' order, each followed by what it explains."""
    listed = list(findings)
    there = {finding.check for finding in listed}
    parents = {
        name: next((check.name for check in checks if check.name in there and name in check.explains), "")
        for name in there
    }
    ordered: list[Finding] = []

    def put(name: str) -> None:
        ordered.extend(replace(one, explained_by=parents[name]) for one in listed if one.check == name)
        for child in dict.fromkeys(one.check for one in listed):
            if parents[child] == name:
                put(child)

    for name in dict.fromkeys(one.check for one in listed):
        if not parents[name]:
            put(name)
    return ordered
