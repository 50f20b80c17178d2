"""What a preview that finds nothing to do never loads: it is why such a preview is quick."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENTS = {"kr8s", "httpx", "httpx_ws", "grpclib"}
PROVIDERS = sorted(path.stem for path in (ROOT / "components").glob("*.py") if "Provider)" in path.read_text())
ON_REQUEST = {"adoption", "verified"}
"""Only in stacks that say `adopt` or `verify`."""


def loaded(module: str) -> set[str]:
    """The packages that are loaded after an import of `module` alone."""
    code = f"import {module}, json, sys; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return set(json.loads(said))


def test_every_provider_is_looked_at() -> None:
    assert {"machine_state", "machine_ready", "cdi_source", "cdi_spec", "worker_restart"} <= {*PROVIDERS}


@pytest.mark.parametrize("module", [name for name in PROVIDERS if name not in ON_REQUEST])
def test_the_providers_process_loads_no_client_and_no_settings(module: str) -> None:
    assert not loaded(f"components.{module}") & (CLIENTS | {"pulumi_kubernetes", "pydantic", "cryptography"})


def test_the_program_loads_no_client() -> None:
    found = loaded("components.program")
    assert "pydantic" in found
    assert not found & CLIENTS
