"""Each policy through the real engine: a resource that breaks it is found, its like that does not is not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from talos_gpu.preview.events import said_by
from talos_gpu.rollout.told import events_in
from talos_gpu.settings.stack_file import stack_files, stack_settings
from tests.engine.support import Project
from tests.policy.programs import BROKEN, PASSING, REAL, UNDECLARED, WRAPPED, Resource, payload, program

ROOT = Path(__file__).parents[2]
CONFIG: Mapping[str, Any] = {
    "privileged-by-name": {"also": ["media/Deployment/allowed"]},
    "destroy-protection": {"types": ["kubernetes:core/v1:ConfigMap"]},
}
Found = set[tuple[str, str, str]]


def found(
    project: Project, pack: Path, resources: dict[str, Resource], *, release: str, consent: bool = False, protect: bool
) -> Found:
    """(policy, resource, level) of every violation in a preview."""
    config, log = project.folder / "policy.json", project.folder / "events"
    config.write_text(json.dumps(CONFIG))
    project.write(program(resources, release=release, default_runtime=consent, protect=protect))
    words = ["--policy-pack", str(pack), "--policy-pack-config", str(config), "--event-log", str(log)]
    done = project.preview(*words, "--non-interactive")
    said = said_by(events_in(log))
    log.unlink()
    mandatory = any(violation.level == "mandatory" for violation in said.policy)
    assert (done.status != 0) == mandatory, done.out
    assert "can't run policy" not in done.out
    return {(violation.policy, violation.resource, violation.level) for violation in said.policy}


def test_what_breaks_a_policy_is_found_and_what_does_not_is_not(project: Project, pack: Path) -> None:
    broken = {f"{policy}.{name}": made for policy, cases in BROKEN.items() for name, made in cases.items()}
    seen = found(project, pack, broken, release="v1.11.1", protect=False)
    expected = {
        (policy, f"{policy}.{name}", "advisory" if policy == "images-to-pin" else "mandatory")
        for policy, cases in BROKEN.items()
        for name in cases
    }
    assert expected <= seen
    beside = {(policy, resource) for policy, resource, _ in seen - expected}
    assert beside == {
        # a typed host folder is a host folder; every ConfigMap here is to be protected
        ("privileged-by-name", "no-host-path-type.typed"),
        ("destroy-protection", "hook-paths.spec"),
        ("destroy-protection", "hook-paths.json"),
        ("destroy-protection", "hook-paths.flow"),
        ("destroy-protection", "secrets-marked.key"),
        ("destroy-protection", "secrets-marked.marked-key"),
    }
    assert found(project, pack, PASSING, release="v1.11.1", protect=True) == set()


@pytest.mark.parametrize(("rule", "name", "made"), UNDECLARED, ids=lambda value: str(value)[:12])
def test_a_kind_that_the_stand_in_does_not_declare_is_judged_too(
    pack: Path, rule: str, name: str, made: Resource
) -> None:
    kind, props = made
    look = f"import rules; print(*rules.{rule}(rules.Resource({kind!r}, {name!r}, {props!r})), sep='\\n')"
    done = subprocess.run([pack / ".venv/bin/python", "-c", look], cwd=pack, capture_output=True, text=True, check=True)
    assert done.stdout.strip()


def test_release_and_consent_decide(project: Project, pack: Path) -> None:
    gpu = {"gpu": BROKEN["no-gpu-by-default"]["gpu"], "spec": payload(REAL)}
    assert found(project, pack, gpu, release="v1.13.0", consent=True, protect=True) == {
        ("hook-paths", "spec", "mandatory")
    }
    unpatched = {"spec": payload(WRAPPED), "flow": BROKEN["hook-paths"]["flow"]}
    assert found(project, pack, unpatched, release="v1.13.0", consent=True, protect=True) == set()


def test_an_update_is_refused_before_the_object_is_made(project: Project, pack: Path) -> None:
    """With the pack configured for every operation, as a rollout's updates have it too: they inherit the variable."""
    broken = {"spec": BROKEN["hook-paths"]["spec"]}
    project.write(program(broken, release="v1.11.1", default_runtime=False, protect=False))
    project.variables["PULUMI_OPTION_POLICY_PACK"] = str(pack)
    done = project.up("--non-interactive")
    assert done.status != 0
    assert "which the wrapper of Talos v1.11.1 refuses" in done.out
    made = {resource["type"].rpartition(":")[2] for resource in project.resources()}
    assert "MachineState" in made
    assert "ConfigMap" not in made


def test_every_policy_has_a_program_that_breaks_it() -> None:
    said = (ROOT / "policy/__main__.py").read_text()
    assert sorted(re.findall(r'_policy\(\s*"([a-z-]+)"', said)) == sorted(BROKEN)


def test_the_pack_is_strictly_typed(pack: Path) -> None:
    words = [sys.executable, "-m", "mypy", "--config-file=", "--strict", "--python-executable", ".venv/bin/python"]
    files = [path.name for path in sorted(pack.glob("*.py"))]
    done = subprocess.run([*words, *files], cwd=pack, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_only_images_of_stack_files_are_known_to_lack_a_digest() -> None:
    lines = (ROOT / "policy/unpinned.txt").read_text().splitlines()
    known = {line for line in lines if line and not line.startswith("#")}
    used = set()
    for path in stack_files(ROOT).values():
        settings = stack_settings(path)
        used |= {settings.cdi.image} | ({settings.tdarr.image} if settings.tdarr else set())
    assert known <= {image for image in used if "@" not in image}
