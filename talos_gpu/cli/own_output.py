"""What a command writes itself must not count as a file of the project: an approval is bound to those."""

from __future__ import annotations

import sys
from pathlib import Path

from talos_gpu.rollout.versions import counts


def warn_if_it_counts(project: Path, path: Path) -> None:
    """Say on standard error that what was written to `path` makes approvals void, if it does."""
    if counts(project, path):
        print(
            f"warning: {path.resolve()} lies in the project and git does not ignore it: it changes the plan's hash and "
            "makes an approval void; write it elsewhere, or name it in .gitignore",
            file=sys.stderr,
        )
