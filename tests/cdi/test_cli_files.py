"""`talos-gpu cdi` on files: what cannot be read or written, and what is put there by rename."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from talos_gpu.cdi import Strategy, patch
from tests.cdi.command import HEAD, ROOT, Done, Run

WRAPPER, REAL = "/usr/local/bin/nvidia-cdi-hook", "/usr/local/bin/nvidia-cdi-hook.real"


@pytest.mark.parametrize("command", ["validate", "patch", "show"])
def test_what_cannot_be_read_is_unusable_input(run: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "file").write_text("")
    for name, reason in (
        ("missing.yaml", "there is no such file"),
        ("loop.yaml", "its symbolic links lead in a circle"),
        ("file/a.yaml", "a part of the path is no folder"),
        (
            ".",
            f"it is a folder\n  remedy: name a file in it, or: talos-gpu cdi resolve {tmp_path}/.",
        ),
    ):
        assert run(command, f"{tmp_path}/{name}") == Done(2, "", f"talos-gpu: {tmp_path}/{name}: {reason}\n")


def test_no_permission(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "nvidia.yaml"
    path.write_text(HEAD)
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        assert run("validate", path) == Done(2, "", f"talos-gpu: {path}: permission denied\n")
    finally:
        os.seteuid(user)


def test_a_terminal_is_not_waited_for() -> None:
    master, slave = os.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "talos_gpu", "cdi", "show"], stdin=slave, capture_output=True, check=False, cwd=ROOT
    )
    os.close(master)
    os.close(slave)
    assert done.returncode == 2
    assert done.stderr.startswith(b"talos-gpu: no file is named and nothing is piped in\n")


def test_patch_in_place_replaces_by_rename_and_keeps_the_mode(run: Run, spec: Path, real_spec: str) -> None:
    spec.chmod(0o640)
    before = spec.stat().st_ino
    done = run("patch", "--in-place", spec)
    assert done == Done(0, f"{spec}: 10 hook paths changed; hooks run {REAL}\n", "")
    assert spec.read_text() == patch(real_spec, Strategy.REAL).text
    assert spec.stat().st_ino != before
    assert stat.S_IMODE(spec.stat().st_mode) == 0o640
    assert [path.name for path in spec.parent.iterdir()] == ["nvidia.yaml"]
    assert run("patch", "-i", spec).out == f"{spec}: 0 hook paths changed; hooks run {REAL}\n"


def test_patch_in_place_follows_a_link(run: Run, spec: Path) -> None:
    link = spec.parent / "link.yaml"
    link.symlink_to("nvidia.yaml")
    assert run("patch", "-i", link).code == 0
    assert link.is_symlink()
    assert REAL in spec.read_text()


def test_patch_to_another_file(run: Run, spec: Path, real_spec: str) -> None:
    target = spec.parent / "out.yaml"
    done = run("patch", spec, "-o", target, "--json")
    assert done.code == 0
    assert {key: done.json[key] for key in ("kind", "hooks", "replaced", "written")} == {
        "kind": "nvidia.com/gpu",
        "hooks": [REAL],
        "replaced": 10,
        "written": str(target),
    }
    assert (spec.read_text(), target.read_text()) == (real_spec, patch(real_spec, Strategy.REAL).text)


def test_a_target_that_cannot_be_written(run: Run, spec: Path) -> None:
    target = spec.parent / "nowhere" / "out.yaml"
    assert run("patch", spec, "-o", target) == Done(2, "", f"talos-gpu: {target}: there is no such file\n")


def test_a_utf_16_spec_keeps_its_encoding(run: Run, tmp_path: Path, real_spec: str) -> None:
    path = tmp_path / "nvidia.yaml"
    path.write_bytes(("\ufeff" + real_spec).encode("utf-16-le"))
    assert run("patch", "-i", path).code == 0
    assert path.read_bytes() == ("\ufeff" + patch(real_spec, Strategy.REAL).text).encode("utf-16-le")


def test_an_unknown_hook_is_refused_and_the_file_stays(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "nvidia.yaml"
    text = HEAD + "containerEdits: {hooks: [{hookName: prestart, path: /bin/hook}]}\n"
    path.write_text(text)
    assert run("patch", "-i", path) == Done(
        1,
        "",
        f"talos-gpu: {path}: line 4: hook path '/bin/hook': none of {WRAPPER}, {REAL}\n"
        "  remedy: generate the spec anew with this node's nvidia-ctk, "
        "or choose the stack's cdi hook strategy for it\n",
    )
    assert path.read_text() == text


def test_a_spec_of_another_vendor_is_refused(run: Run) -> None:
    done = run("patch", stdin=HEAD.replace("nvidia.com", "amd.com").encode())
    assert done == Done(
        1,
        "",
        "talos-gpu: stdin: the spec is of kind 'amd.com/gpu', not one of nvidia.com\n"
        "  remedy: name the right file, or its kind with --kind\n",
    )
    assert run("patch", "--kind", "amd.com/gpu", stdin=HEAD.replace("nvidia.com", "amd.com").encode()).code == 0
    assert run("patch", "--kind", "nvidia.com/mig", stdin=HEAD.encode()).code == 1


def test_an_invalid_spec_is_unusable_for_patch_diff_and_show(run: Run, spec: Path) -> None:
    for args in (("patch",), ("show",), ("diff", "-", spec)):
        done = run(*args, stdin=b"foo: 1\n")
        assert done.code == 2
        assert done.err.startswith("talos-gpu: CDI spec invalid, ")


def test_in_place_needs_a_file(run: Run, spec: Path) -> None:
    wanted = "talos-gpu: --in-place needs a FILE, and neither --output nor --from-node\n"
    assert run("patch", "--in-place") == Done(2, "", wanted)
    assert run("patch", "--in-place", spec, "-o", "x") == Done(2, "", wanted)


COMMAND = f"{sys.executable} -m talos_gpu cdi"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("validate <&-", "standard input is closed\n  remedy: name a file, or pipe a spec in"),
        ("validate FILE >&-", "standard output is closed\n  remedy: send it to a file or a pipe"),
        ("patch FILE >&-", "standard output is closed\n  remedy: send it to a file or a pipe"),
        ("patch FILE >/dev/full", "standard output: no space left on device"),
        ("show FILE --json >/dev/full", "standard output: no space left on device"),
    ],
)
def test_a_stream_that_is_closed_or_full_is_one_error(spec: Path, words: str, told: str) -> None:
    done = subprocess.run(
        f"{COMMAND} {words.replace('FILE', str(spec))}", shell=True, capture_output=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout, done.stderr.decode()) == (2, b"", f"talos-gpu: {told}\n")


def test_a_link_to_itself_is_not_replaced(run: Run, spec: Path) -> None:
    loop = spec.parent / "loop.yaml"
    loop.symlink_to("loop.yaml")
    assert run("patch", spec, "-o", loop) == Done(2, "", f"talos-gpu: {loop}: its symbolic links lead in a circle\n")
    assert loop.is_symlink()


def test_a_link_to_what_is_not_there_yet_is_followed(run: Run, spec: Path) -> None:
    link = spec.parent / "link.yaml"
    link.symlink_to("made.yaml")
    assert run("patch", spec, "-o", link).code == 0
    assert (link.is_symlink(), REAL in link.read_text()) == (True, True)


@pytest.mark.parametrize("command", ["validate", "patch", "show"])
def test_a_file_beside_from_node_is_a_usage_error(run: Run, spec: Path, command: str) -> None:
    assert run(command, spec, "--from-node", "lab") == Done(
        2, "", "talos-gpu: --from-node takes no FILE: name the node's file with --path\n"
    )


def test_a_refused_patch_says_so_in_json(run: Run) -> None:
    text = HEAD + "containerEdits: {hooks: [{hookName: prestart, path: /a}]}\n"
    unknown = run("patch", "--json", stdin=text.encode())
    assert (unknown.code, unknown.json["file"], unknown.json["faults"]) == (1, "stdin", [])
    assert unknown.json["refused"] == f"line 4: hook path '/a': none of {WRAPPER}, {REAL}"
    assert unknown.err.startswith("talos-gpu: stdin: line 4: hook path '/a'")
    invalid = run("patch", "--json", stdin=b"foo: 1\n")
    assert (invalid.code, invalid.json["faults"][0]["rule"]) == (2, "unknown-field")
    assert invalid.err.startswith("talos-gpu: CDI spec invalid, ")


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["text", "JSON"])
def test_a_file_that_cannot_be_read_takes_no_other_verdict_away(run: Run, spec: Path, flags: tuple[str, ...]) -> None:
    missing = spec.parent / "missing.yaml"
    done = run("validate", missing, spec, *flags)
    assert (done.code, done.err) == (2, f"talos-gpu: {missing}: there is no such file\n")
    if not flags:
        assert done.out == f"{spec}: ok\n"
        return
    assert [(found["file"], found["accepted"]) for found in done.json["specs"]] == [(str(spec), True)]
    assert done.json["unreadable"] == [
        {"file": str(missing), "error": f"{missing}: there is no such file"},
    ]
