"""A test that could not tell is counted as that, not as skipped."""

from __future__ import annotations

import pytest

COULD_NOT_TELL = "could not tell"


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """The summary's word for a test that ended with pytest.skip("could not tell: ...")."""
    if report.skipped and isinstance(report.longrepr, tuple) and f"Skipped: {COULD_NOT_TELL}" in report.longrepr[2]:
        return COULD_NOT_TELL, "?", COULD_NOT_TELL.upper()
    return None
