"""The merged part as containerd itself reads it: Talos's parts and ours, laid over each other as Talos does."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talos_gpu.talos.part import RUNTIME, RUNTIME_BINARY, part_toml
from talos_gpu.talos.part_merge import merge_part
from talos_gpu.talos.releases import CRI_SECTION_2, strategy_for
from tests.talos.bases import ours_win, parts
from tests.talos.oracle_client import TalosOracle

pytestmark = pytest.mark.containerd

TALOS_PARTS = [
    "version = 3\n",
    f'[plugins."{CRI_SECTION_2}".containerd.runtimes.nvidia]\n  runtime_type = "io.containerd.runc.v2"\n',
]
"""As Talos and the toolkit's extension ship them, before the part in the order of names."""


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(theirs=parts(), default_runtime=st.booleans())
def test_containerd_has_the_values_that_were_asked_for(
    oracle: TalosOracle, binaries: Path, tmp_path: Path, theirs: str, default_runtime: bool
) -> None:
    merged = merge_part(part_toml(strategy_for("1.11"), default_runtime=default_runtime), theirs)
    assert merged.clashes == ()
    laid = oracle.ask("toml", parts=[*TALOS_PARTS, merged.text])
    assert not laid["error"]
    dump = effective(binaries, tmp_path, laid["merged"])
    runtime = dump["plugins"][CRI_SECTION_2]
    assert runtime["enable_cdi"] is True
    assert ours_win(runtime["cdi_spec_dirs"])
    assert runtime["containerd"]["runtimes"][RUNTIME]["options"]["BinaryName"] == RUNTIME_BINARY
    assert "nvidia" in runtime["containerd"]["runtimes"]
    chosen = runtime["containerd"]["default_runtime_name"]
    assert chosen == RUNTIME if default_runtime or 'default_runtime_name = "nvidia-cdi"' in theirs else chosen == "runc"
    for key in ("device_ownership_from_security_context", "enable_unprivileged_ports"):
        assert key not in theirs or runtime[key] is True


def test_containerd_2_does_not_read_the_old_section(oracle: TalosOracle, binaries: Path, tmp_path: Path) -> None:
    old = '[plugins."io.containerd.grpc.v1.cri"]\n  cdi_spec_dirs = ["/old"]\n'
    dump = effective(binaries, tmp_path, oracle.ask("toml", parts=[*TALOS_PARTS, old])["merged"])
    assert dump["plugins"][CRI_SECTION_2]["cdi_spec_dirs"] == ["/etc/cdi", "/var/run/cdi"]


def effective(binaries: Path, folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """containerd's config with its defaults, as the program itself writes it."""
    path = folder / "cri.toml"
    path.write_text(tomlkit.dumps(config))
    said = subprocess.run(
        [binaries / "containerd", "--config", path, "config", "dump"], capture_output=True, text=True, check=True
    )
    return tomllib.loads(said.stdout)
