"""`talos-gpu preview` of the project's own program on the real engine, with neither node nor cluster."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]

from talos_gpu.cli.schema import text_of
from tests.lab.conftest import wait_for
from tests.policy.conftest import pack as pack  # noqa: PLC0414 - a fixture
from tests.preview.conftest import Reviewed
from tests.workflows.steps import pulumi, talos_gpu

SECRETS = ("canary-machine-token", "canary-cluster-id", "PRIVATE KEY")


def test_a_first_preview_with_policies_needs_neither_node_nor_cluster(reviewed: Reviewed, pack: Path) -> None:
    document = json.loads(reviewed.talos_gpu("preview", "talos05", "--json", "--policy-pack", str(pack)))
    jsonschema.Draft202012Validator(json.loads(text_of("preview"))).validate(document)
    [stack] = document["stacks"]
    assert stack["faults"] == []
    made = {change["type"].rpartition(":")[2]: change["op"] for change in stack["changes"]}
    chain = ("MachineState", "ConfigurationApply", "MachineReady", "Source", "Job", "Spec", "ConfigMap", "DaemonSet")
    assert {kind.rpartition("/")[2] for kind in made} >= {*chain, "Deployment", "RuntimeClass"}
    assert set(made.values()) == {"create"}
    assert stack["reboot"]["verdict"] == "possible"
    assert any("files are written at boot" in reason for reason in stack["reboot"]["reasons"])
    assert stack["machine_config"]["known"] == "first"
    assert "+++ rendered" in stack["machine_config"]["diff"]
    assert stack["spec"] == {"known": "unknown", "note": stack["spec"]["note"], "changes": []}
    assert stack["restarts"] == []
    # the images that have no digest yet are told; our own program breaks no policy
    assert {(found["policy"], found["level"]) for found in stack["policy"]} == {("images-to-pin", "advisory")}
    assert document["stand_ins"] == ["kubernetes v4.34.2", "talos v0.8.1"]
    assert not any(secret in json.dumps(document) for secret in SECRETS)


def test_the_hash_is_that_of_the_rollouts_plan(reviewed: Reviewed) -> None:
    reviewed.talos_gpu(*talos_gpu("preview"))
    said = (reviewed.folder / "preview.md").read_text()
    planned = json.loads(reviewed.talos_gpu("rollout", "plan", "--json"))
    assert f"Hash `{planned['hash']}`" in said
    assert f"talos-gpu rollout approve {planned['hash'][:12]}" in said
    assert not any(secret in said for secret in SECRETS)
    assert reviewed.talos_gpu("rollout", "approve", planned["hash"][:12])


def test_the_pack_is_the_one_that_is_told(reviewed: Reviewed, pack: Path) -> None:
    """A worker's host folder is refused until the pack's configuration names it; --no-policy runs no pack at all."""
    before = (reviewed.folder / "Pulumi.talos05.yaml").read_text()
    config = reviewed.folder / "policy-config.json"
    reviewed.environment["PULUMI_OPTION_POLICY_PACK"] = str(pack)
    try:
        media = {"name": "media", "path": "/media", "host_path": {"path": "/var/mnt/media"}}
        namespace = {"name": "media", "create": True, "pod_security": "privileged"}
        reviewed.configure(tdarr={"volumes": [media], "namespace": namespace})
        refused = json.loads(reviewed.talos_gpu("preview", "talos05", "--json", code=1))
        written = reviewed.folder / "preview.json"
        reviewed.talos_gpu("preview", "talos05", "--json", "--no-policy", "--output", str(written))
        without = json.loads(written.read_text())
        config.write_text(json.dumps({"privileged-by-name": {"also": ["media/Deployment/tdarr-node-gpu-talos05"]}}))
        allowed = json.loads(reviewed.talos_gpu("preview", "talos05", "--json"))
    finally:
        (reviewed.folder / "Pulumi.talos05.yaml").write_text(before)
        config.unlink(missing_ok=True)
        written.unlink()
        del reviewed.environment["PULUMI_OPTION_POLICY_PACK"]
    broken = [{found["policy"] for found in said["stacks"][0]["policy"]} for said in (refused, without, allowed)]
    assert [said["policy_pack"] for said in (refused, without, allowed)] == [str(pack), "", str(pack)]
    assert ["privileged-by-name" in policies for policies in broken] == [True, False, False]
    assert broken[1] == set()


def test_a_stack_with_faults_is_told_and_ends_with_1(reviewed: Reviewed) -> None:
    before = (reviewed.folder / "Pulumi.talos05.yaml").read_text()
    try:
        reviewed.configure(node={"talos": "v1.13.0", "address": "192.0.2.5"})
        said = reviewed.talos_gpu("preview", "talos05", "--no-policy", code=1)
    finally:
        (reviewed.folder / "Pulumi.talos05.yaml").write_text(before)
    assert "**1 stack cannot be updated as it is:**" in said
    assert "| talos05 | - | - | - | - | unknown | unknown | unknown | **cannot be previewed** |" in said
    assert "1.13" in said.partition("## talos05")[2]


def test_the_drift_workflows_commands_run(reviewed: Reviewed) -> None:
    words = ["talos05" if word == "$stack" else word for word in pulumi("drift")]
    assert "talos05" in words
    reviewed.run("pulumi", *words)
    assert "--refresh" in talos_gpu("drift", "talos05")
    reviewed.talos_gpu(*talos_gpu("drift", "talos05"))
    said = (reviewed.folder / "drift.md").read_text()
    assert "- **Nodes and cluster, refreshed**: drift." in said


def test_an_unknown_stack_is_refused_and_the_engine_that_was_begun_for_a_known_one_is_ended(reviewed: Reviewed) -> None:
    reviewed.talos_gpu("preview", "talos05", "talos5", code=2)
    assert not [words for words in working_in(reviewed.folder) if Path(words.partition(" ")[0]).name == "pulumi"]
    # the language host sees within a second that its engine is gone
    wait_for("nothing works there any more", lambda: not working_in(reviewed.folder))


def test_words_may_come_in_any_order(reviewed: Reviewed) -> None:
    said = json.loads(reviewed.talos_gpu("preview", "--json", "talos05", "--no-policy", "talos05"))
    assert [stack["name"] for stack in said["stacks"]] == ["talos05"]


def working_in(folder: Path) -> list[str]:
    """The command lines of the processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has ended meanwhile, or is none of ours
    return found
