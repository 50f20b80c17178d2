"""Which file gives which device: as the library's own cache has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talos_gpu.cdi import Conflict, File, Folder, Given, Library, State, resolution, resolve
from tests.cdi.oracle_client import Oracle

A, B = "a", "b"


def spec(*names: str, kind: str = "nvidia.com/gpu", version: str = "0.5.0") -> str:
    devices = "".join(f"- {{name: {name}, containerEdits: {{env: [A=b]}}}}\n" for name in names)
    return f"cdiVersion: {version}\nkind: {kind}\ndevices:\n{devices}"


def put(root: Path, files: dict[str, str]) -> list[Path]:
    """Writes `folder/name`; the folders in alphabetical order."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return sorted({(root / name).parent for name in files})


CASES: dict[str, dict[str, str]] = {
    "one file": {"0/a.yaml": spec(A, B)},
    "the last folder wins": {"0/a.yaml": spec(A, B), "1/a.yaml": spec(A)},
    "a conflict in a folder": {"0/a.yaml": spec(A, B), "0/b.yaml": spec(A)},
    "three files in conflict": {"0/a.yaml": spec(A), "0/b.yaml": spec(A), "0/c.json": spec(A, B)},
    "a conflict hides a later folder's": {"0/a.yaml": spec(A), "0/b.yaml": spec(A), "1/c.yaml": spec(A, B)},
    "a conflict in the later folder": {"0/a.yaml": spec(A), "1/b.yaml": spec(A), "1/c.yaml": spec(A)},
    "other kinds do not meet": {"0/a.yaml": spec(A), "0/b.yaml": spec(A, kind="nvidia.com/mig")},
    "a file that fails hides its devices": {"0/a.yaml": spec(A), "1/a.yaml": spec(A) + "foo: 1\n"},
    "a file that fails is in no conflict": {"0/a.yaml": spec(A), "0/b.yaml": spec(A) + "foo: 1\n"},
    "names that CDI ignores": {"0/a.yml": spec(A), "0/b.YAML": spec(A), "0/c": spec(A), "0/d.yaml.tmp": spec(A)},
    "hidden files count": {"0/.yaml": spec(A), "0/.b.json": spec(B)},
    "subfolders do not": {"0/sub/a.yaml": spec(A), "0/b.yaml": spec(B)},
    "a version that is too new": {"0/a.yaml": spec(A, version="1.1.0"), "0/b.yaml": spec(B)},
    "empty": {"0/a.yaml": "", "0/b.yaml": "---\n"},
}


@pytest.mark.parametrize("case", CASES)
def test_devices_are_those_of_the_librarys_cache(oracle: Oracle, tmp_path: Path, case: str) -> None:
    put(tmp_path, CASES[case])
    agrees(oracle, [tmp_path / "0", tmp_path / "1"])


def agrees(oracle: Oracle, folders: list[Path]) -> None:
    found = resolve(folders, library=oracle.library)
    devices, errors = oracle.resolve(folders)
    assert {given.device: given.path for given in found.devices} == devices
    bad = {file.path for file in found.failed} | {path for conflict in found.conflicts for path in conflict.paths}
    assert bad == set(errors)


NAMES = st.sampled_from(["a.yaml", "b.yaml", "c.json", "d.yml"])
TEXTS = st.sampled_from([spec(A), spec(B), spec(A, B), spec(A, kind="x.y/zz"), spec(A, version="1.1.0"), "foo: 1\n"])


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    content=st.lists(st.dictionaries(NAMES, TEXTS, max_size=4), min_size=1, max_size=3), order=st.permutations("012")
)
def test_any_folders_resolve_as_in_the_librarys_cache(
    oracles: dict[Library, Oracle],
    tmp_path_factory: pytest.TempPathFactory,
    content: list[dict[str, str]],
    order: list[str],
) -> None:
    root = tmp_path_factory.mktemp("folders")
    put(root, {f"{index}/{name}": text for index, files in enumerate(content) for name, text in files.items()})
    for oracle in oracles.values():
        agrees(oracle, [root / name for name in order])


def test_odd_entries_as_the_library_takes_them(oracle: Oracle, tmp_path: Path) -> None:
    [folder] = put(tmp_path, {"0/good.yaml": spec(A)})
    (folder / "dangling.yaml").symlink_to("nowhere.yaml")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "folder.yaml").mkdir()
    (folder / "to-folder.yaml").symlink_to(tmp_path)
    (tmp_path / "linked").write_text(spec(B))
    (folder / "link.json").symlink_to("../linked")
    agrees(oracle, [folder])
    problems = {Path(file.path).name: file.problem for file in resolve([folder]).failed}
    assert problems == {
        "dangling.yaml": "cannot be read: no such file or directory",
        "loop.yaml": "cannot be read: too many levels of symbolic links",
        "to-folder.yaml": "cannot be read: is a directory",
    }


def test_odd_folders_as_the_library_takes_them(oracle: Oracle, tmp_path: Path) -> None:
    [good] = put(tmp_path, {"good/a.yaml": spec(A)})
    (tmp_path / "link").symlink_to(good)
    (tmp_path / "spec.yaml").write_text(spec(B))
    for folders in (
        [tmp_path / "missing", good],
        [good, tmp_path / "link"],
        [tmp_path / "link"],
        [tmp_path / "link/"],
        [good, tmp_path / "spec.yaml"],
        [good, good],
    ):
        agrees(oracle, folders)
    # what cannot be looked at ends the library's scan: later folders count no more
    agrees(oracle, [tmp_path / "spec.yaml" / "in-a-file", good])
    found = resolve([tmp_path / "spec.yaml" / "in-a-file", good, tmp_path / "link"])
    assert [reason for _, reason in found.folder_errors] == [
        "cannot be looked at: not a directory",
        f"not looked at, because of {tmp_path}/spec.yaml/in-a-file",
        f"not looked at, because of {tmp_path}/spec.yaml/in-a-file",
    ]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    assert [file.problem for file in resolve([tmp_path]).failed] == [
        "is no regular file; reading a pipe would hold the runtime up"
    ]


def test_the_resolution_says_what_is_shadowed_and_what_is_hidden() -> None:
    folders = [
        Folder("/etc/cdi", (File("a.yaml", spec(A, B, "c").encode()),)),
        Folder("/var/run/cdi", (File("n.yaml", spec(A, B).encode()), File("m.yaml", spec(B).encode()))),
    ]
    found = resolution(folders)
    assert found.devices == (
        Given("nvidia.com/gpu=a", "/var/run/cdi/n.yaml", ("/etc/cdi/a.yaml",)),
        Given("nvidia.com/gpu=c", "/etc/cdi/a.yaml"),
    )
    assert found.conflicts == (
        Conflict("nvidia.com/gpu=b", ("/var/run/cdi/m.yaml", "/var/run/cdi/n.yaml"), ("/etc/cdi/a.yaml",)),
    )
    assert [(file.path, file.state) for file in found.files] == [
        ("/etc/cdi/a.yaml", State.LOADED),
        ("/var/run/cdi/m.yaml", State.LOADED),
        ("/var/run/cdi/n.yaml", State.LOADED),
    ]
    assert found.find("nvidia.com/gpu=b") is None
    assert found.find("nvidia.com/gpu=c") == Given("nvidia.com/gpu=c", "/etc/cdi/a.yaml")


def test_yml_is_ignored_with_the_reason() -> None:
    found = resolution([Folder("/etc/cdi", (File("nvidia.yml", spec(A).encode()),))])
    [file] = found.files
    assert (file.state, file.problem) == (
        State.IGNORED,
        "CDI reads only names that end in .yaml or .json, this one ends in .yml; rename it to end in .yaml",
    )


def test_a_file_that_fails_tells_its_first_fault_and_keeps_all() -> None:
    found = resolution([Folder("/etc/cdi", (File("a.yaml", (spec(A) + "foo: 1\nbar: 2\n").encode()),))])
    [file] = found.failed
    assert file.problem.startswith("5:1: foo: unknown field 'foo'")
    assert file.problem.endswith("(and 1 more)")
    assert len(file.faults) == 2


def test_the_seeds_folders_let_the_unpatched_spec_win(tmp_path: Path) -> None:
    """`cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi", "/var/cdi"]`: the last one, the source, is the unpatched."""
    folders = put(tmp_path, {"1-run/nvidia.yaml": spec("all"), "2-var/nvidia.yaml": spec("all")})
    given = resolve(folders).find("nvidia.com/gpu=all")
    assert given is not None
    assert (given.path, given.shadowed) == (
        str(tmp_path / "2-var/nvidia.yaml"),
        (str(tmp_path / "1-run/nvidia.yaml"),),
    )
