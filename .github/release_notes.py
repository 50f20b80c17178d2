"""Print a version's section of CHANGELOG.md, for its release: `python .github/release_notes.py 0.1.0`.

Refuses a version that is not the wheel's, or that the changelog does not have.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHANGELOG = ROOT / "CHANGELOG.md"


def section(changelog: str, version: str) -> str:
    """The text below `## [VERSION]` up to the next version. Raises LookupError if there is none or it is empty."""
    found = re.search(rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise LookupError(f"CHANGELOG.md has nothing under ## [{version}]: name what changed there before the release")
    return found[1].strip() + "\n"


def wheel_version() -> str:
    """The version in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def main(words: list[str]) -> int:
    """Print the section of the one version named; 2 with the reason if it cannot be released."""
    if len(words) != 1:
        print("usage: python .github/release_notes.py VERSION", file=sys.stderr)
        return 2
    if words[0] != wheel_version():
        print(f"{words[0]} is tagged, and pyproject.toml says {wheel_version()}", file=sys.stderr)
        return 2
    try:
        print(section(CHANGELOG.read_text(encoding="utf-8"), words[0]), end="")
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
