"""The commands around a rollout: hold, release, status, report, schema, abort, export; and what each refuses."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from talos_gpu.cli.rollout import app
from talos_gpu.errors import TalosGpuError
from talos_gpu.rollout import lock
from talos_gpu.rollout.journal import Journal
from talos_gpu.rollout.store import Store
from tests.rollout.browser import look
from tests.rollout.sample import FILE, NAMES, journalled, sample_plan

ROOT = Path(__file__).parents[2]
Command = Callable[..., str]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A project whose last rollout is the sample's."""
    (tmp_path / "Pulumi.yaml").write_text("name: gpus\nruntime: python\n")
    (tmp_path / "rollout.yaml").write_text(FILE)
    for name in NAMES:
        (tmp_path / f"Pulumi.{name}.yaml").write_text("config: {}\n")
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text() + "state/\n")
    store = Store.of(tmp_path / "state", "gpus", "home")
    plan = sample_plan()
    store.save_plan(plan)
    store.begin(plan)
    with Journal(store.journal) as journal:
        for record in journalled(plan):
            journal.write(record)
    return store


@pytest.fixture
def command(tmp_path: Path, store: Store) -> Command:
    def call(*words: str, code: int = 0) -> str:
        where = ["--project", str(tmp_path), "--state-dir", str(tmp_path / "state")]
        done = CliRunner().invoke(app, [*where, *words])
        if isinstance(done.exception, TalosGpuError):
            assert code == 2, done.exception
            return str(done.exception)
        assert done.exit_code == code, done.output
        return done.output

    return call


def test_status_and_report_tell_the_same_and_the_next_command_to_the_letter(command: Command, tmp_path: Path) -> None:
    said = command("status")
    assert said.startswith("no process works on it\n# Rollout of home: failed")
    assert said.endswith(f"next: talos-gpu rollout --project {tmp_path} --state-dir {tmp_path}/state resume\n")
    assert said.partition("\n")[2] == command("report")
    assert json.loads(command("status", "--json")) == json.loads(command("report", "--json"))


def test_the_page_is_written_where_it_is_wanted(command: Command, tmp_path: Path) -> None:
    command("report", "--html", str(tmp_path / "page.html"))
    assert look(tmp_path / "page.html")["title"] == "Rollout of home: failed"


def test_status_names_who_works_on_it(command: Command, store: Store) -> None:
    with lock.held(store.lock, "rollout run"):
        assert "(rollout run)" in command("status").splitlines()[0]


def test_holds(command: Command, store: Store) -> None:
    assert command("hold", "talos0[67]", "talos08") == "on hold: talos0[67] talos08\n"
    assert command("hold", "talos08") == "on hold: talos0[67] talos08\n"
    assert command("release", "y", code=2) == "not on hold: y\n  remedy: on hold: talos0[67] talos08"
    assert command("release", "talos0[67]", "talos08") == "on hold: nothing\n"


@pytest.mark.parametrize("word", ["talso08", "talso0*", "talos06 talos07", ""])
def test_a_hold_of_nothing_is_refused(command: Command, store: Store, word: str) -> None:
    said = command("hold", "talos06", word, code=2)
    assert said.startswith(f"nothing was put on hold: {word!r} fits no stack of this fleet\n  remedy: ")
    assert "talos0" in said.partition("remedy: ")[2]
    assert store.holds() == []


def test_the_last_plan_is_shown_again(command: Command) -> None:
    said = command("plan", "--show")
    assert said.startswith(f"# Plan {sample_plan().hash[:12]}: home")
    assert json.loads(command("plan", "--show", "--json"))["hash"] == sample_plan().hash


def test_a_hash_must_be_the_plans_and_long_enough(command: Command) -> None:
    found = sample_plan().hash
    assert "the plan's hash is" in command("approve", found[:7], code=2)
    assert "the plan's hash is" in command("approve", "0" * 12, code=2)
    assert command("approve", found[:12]).startswith(f"approved {found[:12]}; next: talos-gpu rollout ")


def test_schemas(command: Command) -> None:
    assert json.loads(command("schema"))["properties"].keys() >= {"fleet", "stacks", "waves", "gates"}
    assert json.loads(command("schema", "report"))["properties"].keys() >= {"outcome", "stacks", "next"}
    assert "there is no schema of 'x'" in command("schema", "x", code=2)


def test_there_is_nothing_to_abort(command: Command) -> None:
    assert "no rollout is unfinished" in command("abort", code=2)


def test_an_unfinished_rollout_is_given_up(command: Command, store: Store, tmp_path: Path) -> None:
    lines = store.journal.read_text().splitlines(keepends=True)
    store.journal.write_text("".join(line for line in lines[:11]))
    said = command("abort", code=1)
    assert "talos06: interrupted: its update was begun: look at it with `pulumi preview`" in said
    assert f"next: talos-gpu rollout --project {tmp_path} --state-dir {tmp_path}/state plan" in said
    states = {stack["name"]: stack["state"] for stack in json.loads(command("status", "--json"))["stacks"]}
    assert store.good().keys() == {"talos05"}, "what was done before is what a later rollout goes back to"
    assert store.good()["talos05"]["commit"] == sample_plan().commit
    assert states == {"talos05": "done", "talos06": "interrupted", "talos07": "interrupted", "talos08": "not-started"}
    assert "no rollout is unfinished" in command("abort", code=2)


def test_every_remedy_is_the_command_with_the_options_that_were_given(
    command: Command, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = f"talos-gpu rollout --project {tmp_path} --state-dir {tmp_path}/state"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/pulumi").write_text("#!/bin/sh\necho {}\n")
    (tmp_path / "bin/pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    commit(tmp_path)
    found = sample_plan().hash[:12]
    assert f"read it (`{ours} plan --show`), then run `{ours} approve {found}`" in command("run", code=2)
    assert f"remedy: run `{ours} plan` again and approve the new plan" in command("resume", code=2)
    with lock.held(store.lock, "rollout run"):
        assert f"end it with `{ours} abort`" in command("run", code=2)
    store.approve(sample_plan(), "me")
    store.journal.write_text("".join(store.journal.read_text().splitlines(keepends=True)[:11]))
    assert f"run `{ours} resume`, or give it up with `{ours} abort`" in command("run", code=2)
    assert f"remedy: give it up with `{ours} abort`, then run `{ours} plan` again" in command("resume", code=2)
    command("abort", code=1)
    assert f"the last rollout was aborted\n  remedy: run `{ours} plan`" in command("resume", code=2)
    (store.folder / "plan.json").unlink()
    assert f"there is no plan\n  remedy: run `{ours} plan`" in command("run", code=2)


def test_a_process_of_another_machine_is_not_signalled(command: Command, store: Store) -> None:
    with lock.held(store.lock, "rollout run"):
        words = json.loads(store.lock.read_text()) | {"host": "elsewhere"}
        store.lock.write_text(json.dumps(words))
        assert "on elsewhere (rollout run)" in command("abort", code=2)


def test_export_writes_the_waves_and_what_they_do_not_carry(command: Command, tmp_path: Path) -> None:
    commit(tmp_path)
    (tmp_path / "stacks.yaml").touch()  # as the shell does for `> stacks.yaml`
    said = command("export", "--repository", "https://git.example/gpus.git", "--env", "A=secret/key")
    assert said.startswith("# not carried: no preview of the whole fleet")
    objects = list(yaml.safe_load_all(said))
    assert [item["metadata"]["name"] for item in objects] == ["home-talos05", "home-talos06", "home-talos07"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert {item["spec"]["commit"] for item in objects} == {head.stdout.strip()}
    (tmp_path / "new.py").write_text("")
    assert "uncommitted changes" in command("export", "--repository", "r", code=2)
    (tmp_path / "new.py").unlink()
    where = ["--namespace", "pulumi", "--organization", "organization", "--backend", "s3://state"]
    first = next(yaml.safe_load_all(command("export", "--repository", "r", *where)))
    assert first["metadata"]["namespace"] == "pulumi"
    assert (first["spec"]["stack"], first["spec"]["backend"]) == (
        "organization/gpus/talos05",
        "s3://state",
    )
    assert "is not VAR=SECRET/KEY" in command("export", "--repository", "r", "--commit", "c", "--env", "A", code=2)


def commit(project: Path) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@invalid"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "one"]):
        subprocess.run(["git", *identity, *words], cwd=project, check=True, capture_output=True)


def test_what_is_missing_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "rollout.yaml").unlink()
    assert "rollout.yaml cannot be read" in command("status", code=2)
    (tmp_path / "rollout.yaml").write_text(FILE.replace("fleet: home", "fleet: other"))
    assert "no rollout was begun" in command("status", code=2)
    assert "there is no plan" in command("approve", "0" * 12, code=2)
    (tmp_path / "Pulumi.yaml").unlink()
    assert "name the project with --project" in command("status", code=2)
