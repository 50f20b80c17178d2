"""Dynamic providers through the engine: create, read, update, replace, delete."""

from __future__ import annotations

import json
from pathlib import Path

from tests.engine.support import Project

PROVIDER = """
import json, pathlib
from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult
from pulumi.dynamic import ReadResult, Resource, ResourceProvider, UpdateResult

STORE = pathlib.Path({store!r})

def load():
    return json.loads(STORE.read_text()) if STORE.exists() else {{}}

def save(**changed):
    STORE.write_text(json.dumps({{**load(), **changed}}))

class Kept(ResourceProvider):
    serialize_as_secret_always = False
    def check(self, olds, news):
        return CheckResult(news, [] if news["size"] > 0 else [CheckFailure("size", "must be positive")])
    def create(self, props):
        save(size=props["size"])
        return CreateResult(props["key"], {{**props, "made": True}})
    def diff(self, id, olds, news):
        changed = [key for key in ("key", "size") if olds.get(key) != news.get(key)]
        replaces = ["key"] if "key" in changed else []
        return DiffResult(changes=bool(changed), replaces=replaces, delete_before_replace=True)
    def update(self, id, olds, news):
        save(size=news["size"])
        return UpdateResult({{**news, "made": True}})
    def read(self, id, props):
        return ReadResult(id, {{**props, **load()}}) if load() else ReadResult("", {{}})
    def delete(self, id, props):
        STORE.unlink(missing_ok=True)

class Thing(Resource):
    def __init__(self, name, **props):
        super().__init__(Kept(), name, {{**props, "made": None}})
"""

PROGRAM = """
import pulumi, keeping
config = pulumi.Config()
keeping.Thing("thing", key=config.get("key") or "one", size=config.get_int("size") or 1)
"""


def prepared(project: Project, store: Path) -> Project:
    return project.write(PROGRAM, keeping=PROVIDER.format(store=str(store)))


def test_the_life_of_a_dynamic_resource(project: Project, tmp_path: Path) -> None:
    store = tmp_path / "store.json"
    prepared(project, store).up().ok()
    assert json.loads(store.read_text()) == {"size": 1}
    assert project.steps() == {"thing": "same"}
    project.config(size="2").up().ok()
    assert json.loads(store.read_text()) == {"size": 2}
    store.write_text('{"size": 9}')  # drift
    project.refresh().ok()
    assert project.steps() == {"thing": "update"}
    project.up().ok()
    assert json.loads(store.read_text()) == {"size": 2}
    project.config(key="two").up().ok()
    assert [entry["id"] for entry in project.resources() if entry["type"].startswith("pulumi-python")] == ["two"]
    project.destroy().ok()
    assert not store.exists()


def test_a_failed_check_is_shown_and_nothing_is_made(project: Project, tmp_path: Path) -> None:
    ran = prepared(project, tmp_path / "store.json").config(size="-1").up()
    assert ran.status != 0
    assert "must be positive" in ran.out
    assert not (tmp_path / "store.json").exists()


def test_the_provider_is_stored_by_reference(project: Project, tmp_path: Path) -> None:
    """A class in the project's own module is no bytecode in the state: an edited comment makes no diff."""
    prepared(project, tmp_path / "store.json").up().ok()
    module = project.folder / "keeping.py"
    module.write_text(module.read_text().replace("\nclass Kept", "\n# a new comment\nclass Kept"))
    assert project.steps() == {"thing": "same"}
