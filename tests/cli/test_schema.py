"""The published schemas: committed, as the models are, and judging stack files as the settings do."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from talos_gpu.cli import main
from talos_gpu.cli.schema import FOLDER, SCHEMAS, text_of
from talos_gpu.settings.reference import paths
from tests.preview.previews import busy, preview

ROOT = Path(__file__).parents[2]
STACK: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.talos05.yaml").read_text())
PREFIX = "talos-nvidia-cdi:"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_schema_is_what_the_models_say(name: str) -> None:
    said = (ROOT / FOLDER / f"{name}.json").read_text()
    assert said == text_of(name), f"python -m talos_gpu schema --write {FOLDER}"


def test_no_other_schema_is_committed() -> None:
    assert sorted(path.stem for path in (ROOT / FOLDER).iterdir()) == sorted(SCHEMAS)


def judge() -> Any:
    schema = json.loads(text_of("stack"))
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


@pytest.mark.parametrize("stack", ["talos05", "lab"])
def test_our_stack_files_pass(stack: str) -> None:
    document = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())
    assert [error.message for error in judge().iter_errors(document)] == []


def test_our_stack_file_names_the_schema_for_the_yaml_language_server() -> None:
    first = (ROOT / "Pulumi.talos05.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=schemas/stack.json"
    assert (ROOT / first.partition("=")[2]).is_file()


def test_the_documented_rollout_file_names_its_schema_and_fits_it() -> None:
    page = (ROOT / "docs/rollout.md").read_text()
    text = page.partition("```yaml\n")[2].partition("```")[0]
    first = text.splitlines()[0]
    assert first == "# yaml-language-server: $schema=schemas/rollout.json"
    schema = json.loads((ROOT / first.partition("=")[2]).read_text())
    validator = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []
    assert list(validator.iter_errors({"fleet": "home"}))


def changed(key: str, value: Any) -> dict[str, Any]:
    """The stack file with one value, `node.gpu.driver`, changed; None takes it out."""
    document = copy.deepcopy(STACK)
    into, names = document["config"], key.split(".")
    names[0] = PREFIX + names[0]
    for name in names[:-1]:
        into = into[name]
    if value is None:
        del into[names[-1]]
    else:
        into[names[-1]] = value
    return document


REFUSED = {
    "a misspelt key": ("nodes", {"name": "x"}),
    "a misspelt key below": ("cdi.methode", "spec"),
    "a method that there is not": ("cdi.method", "specs"),
    "a version without v": ("node.talos", "1.11.1"),
    "a driver that is none": ("node.gpu.driver", "latest"),
    "an image that is none": ("tdarr.image", "owner/Name:1 2"),
    "a number as text": ("machine.ready_timeout_s", "600"),
    "too short a time": ("machine.ready_timeout_s", 1),
    "no node": ("node", None),
    "no base": ("machine.base", None),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_editor_is_told_of(case: str) -> None:
    assert list(judge().iter_errors(changed(*REFUSED[case])))


def test_encrypted_values_and_other_projects_keys_pass() -> None:
    document = changed("talosconfig", {"secure": "v1:abc:def"})
    document["config"]["aws:region"] = "eu-central-1"
    document["encryptionsalt"] = "v1:x"
    assert [error.message for error in judge().iter_errors(document)] == []


def test_every_key_has_title_description_and_example_or_keys_below() -> None:
    schema = json.loads(text_of("stack"))
    definitions, config = schema["definitions"], schema["properties"]["config"]["properties"]
    fields = [
        (f"{name}.{key}", field) for name, model in definitions.items() for key, field in model["properties"].items()
    ]
    fields += [(key, field["else"]) for key, field in config.items()]
    assert len(fields) >= len({path.rpartition(".")[2] for path, _ in paths()})
    lacking = [
        path
        for path, field in fields
        if not (field.get("title") and field.get("description"))
        or not ("examples" in field or "definitions" in json.dumps(field))
    ]
    assert lacking == []


def test_a_preview_fits_its_schema() -> None:
    schema = json.loads(text_of("preview"))
    jsonschema.Draft202012Validator.check_schema(schema)
    document = json.loads(preview(busy("a")).model_dump_json())
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(document)] == []
    document["stacks"][0]["reboot"]["verdict"] = "maybe"
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(document))


def test_the_command_prints_a_schema_and_refuses_a_name_that_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, code in (["stack"], 0), (["stacks"], 2):
        monkeypatch.setattr(sys, "argv", ["talos-gpu", "schema", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == code
    said = capsys.readouterr()
    assert said.out == text_of("stack")
    assert said.err == "talos-gpu: there is no schema 'stacks'\n  remedy: did you mean 'stack'?\n"
