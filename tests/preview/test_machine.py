"""Machine config and reboot, told from what was applied last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from talos_gpu.preview import machine
from talos_gpu.preview.events import SECRET
from talos_gpu.settings import Settings
from talos_gpu.settings.stack_file import stack_settings

ROOT = Path(__file__).parents[2]
BASE = """\
version: v1alpha1
machine:
  type: worker
  token: canary-token
cluster:
  id: canary-id
"""


def settings(folder: Path, **changes: Any) -> Settings:
    """talos05's, with keys of `machine` changed and the base in `folder`."""
    (folder / "base.yaml").write_text(BASE)
    found = stack_settings(ROOT / "Pulumi.talos05.yaml")
    return found.model_copy(update={"machine": found.machine.model_copy(update={"base": "base.yaml", **changes})})


def deployment(config: object) -> dict[str, Any]:
    return {"resources": [{"type": machine.APPLY, "inputs": {"machineConfigurationInput": config}}]}


def test_the_applied_config_is_read_from_the_state_secret_or_not() -> None:
    assert machine.applied(deployment({SECRET: "x", "plaintext": json.dumps(BASE)})) == BASE
    assert machine.applied(deployment(BASE)) == BASE
    assert machine.applied({}) is None
    gone = deployment(BASE)
    gone["resources"][0]["delete"] = True
    assert machine.applied(gone) is None


def test_a_first_config_is_compared_with_the_base_and_may_restart_the_node(tmp_path: Path) -> None:
    given = settings(tmp_path)
    base, new = machine.rendered(given, tmp_path)
    found = machine.compared(None, base, new)
    assert found.known == "first"
    assert "+++ rendered" in found.diff
    assert "canary" not in found.diff
    verdict = machine.reboot(given, None, base, new)
    assert verdict.verdict == "possible"
    assert any("machine.files: /etc/cri/conf.d/20-customization.part" in reason for reason in verdict.reasons)


def test_a_secret_is_shown_as_its_length(tmp_path: Path) -> None:
    base, new = machine.rendered(settings(tmp_path), tmp_path)
    longer = new.replace("canary-token", "canary-token-rotated")
    diff = machine.compared(new, base, longer).diff
    assert "-  token: (redacted, 12 characters)\n+  token: (redacted, 20 characters)\n" in diff
    assert "canary" not in diff
    same_length = machine.compared(new, base, new.replace("canary-token", "another-token"[:12]))
    assert (same_length.diff, same_length.note) == (
        "",
        "only hidden values of the same length, or spelling, change",
    )


CASES: dict[str, tuple[dict[str, Any], tuple[str, str], str]] = {
    "files change": ({}, ("/etc/cri/conf.d/20-customization.part", "/etc/cri/conf.d/99.part"), "yes"),
    "a label changes": ({}, ("node.kubernetes.io/gpu-vendor: nvidia", "node.kubernetes.io/gpu-vendor: other"), "no"),
    "nothing changes": ({}, ("", ""), "possible"),
    "files change, forbidden": (
        {"reboot": "forbid"},
        ("/etc/cri/conf.d/20-customization.part", "/etc/cri/conf.d/99.part"),
        "refused",
    ),
    "files change, staged": (
        {"apply_mode": "staged"},
        ("/etc/cri/conf.d/20-customization.part", "/etc/cri/conf.d/99.part"),
        "no",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_whether_the_node_restarts(tmp_path: Path, case: str) -> None:
    changes, (was, now), verdict = CASES[case]
    given = settings(tmp_path, **changes)
    base, new = machine.rendered(given, tmp_path)
    old = new.replace(was, now) if was else new
    assert not was or old != new
    found = machine.reboot(given, old, base, new)
    assert found.verdict == verdict
    assert found.reasons
