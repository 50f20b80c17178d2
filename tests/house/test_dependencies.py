"""docs/dependencies.md says why of everything that is asked for by name."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator

from lab import images, system
from lab.gpu.build import SYSTEM_PACKAGES
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs/dependencies.md").read_text()
_REQUIRE = re.compile(r"^(?:require )?\t?([a-z][\w./-]*\.[\w./-]+) v\S+(?! // indirect)$", re.MULTILINE)


def python_packages() -> Iterator[str]:
    for path in (ROOT / "pyproject.toml", ROOT / "policy/pyproject.toml"):
        document = tomllib.loads(path.read_text())
        asked = [document["project"]["dependencies"], *document.get("dependency-groups", {}).values()]
        for requirement in (one for group in asked for one in group if isinstance(one, str)):
            yield re.split(r"[=<>\[;]", requirement)[0].strip()


def go_modules() -> Iterator[str]:
    listed = subprocess.run(["git", "ls-files", "*.mod"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split():
        for line in (ROOT / name).read_text().splitlines():
            if "// indirect" not in line and "=>" not in line:
                yield from _REQUIRE.findall(line)


def missed(names: Iterator[str]) -> list[str]:
    return [name for name in sorted(set(names)) if not re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w/-])", PAGE)]


def test_every_python_package_has_its_reason() -> None:
    assert missed(python_packages()) == []


def test_every_go_module_has_its_reason() -> None:
    assert missed(go_modules()) == []


def test_every_system_package_has_its_reason() -> None:
    assert missed(iter((*system.NODE_PACKAGES, *SYSTEM_PACKAGES, *images.SYSTEM_PACKAGES, "chromium"))) == []
