"""`talos-gpu cdi` as a person or a pipe uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from talos_gpu.cdi import Strategy, patch
from tests.cdi.command import HEAD, ROOT, Done, Run, process


def test_a_pipe_is_patched_and_nothing_else_is_printed(real_spec: str) -> None:
    done = process("patch", stdin=real_spec.encode())
    assert (done.returncode, done.stdout, done.stderr) == (0, patch(real_spec, Strategy.REAL).text.encode(), b"")


def test_a_process_ends_with_the_code_of_what_it_found(spec: Path) -> None:
    assert process("validate", spec).returncode == 0
    assert process("validate", stdin=b"foo: 1\n").returncode == 1
    missing = process("validate", "/nowhere/a.yaml")
    assert (missing.returncode, missing.stderr) == (2, b"talos-gpu: /nowhere/a.yaml: there is no such file\n")


def test_a_reader_that_has_enough_is_no_traceback(spec: Path) -> None:
    command = [sys.executable, "-m", "talos_gpu", "cdi", "patch", str(spec)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert (running.wait(), running.stderr.read()) == (1, b"")


WORDS = {
    "validate": ["validate", "FILE", "--json"],
    "patch": ["patch", "FILE", "--json"],
    "diff": ["diff", "FILE", "FILE", "--markdown"],
    "resolve": ["resolve", "FOLDER", "--json"],
    "show": ["show", "FILE"],
}


@pytest.mark.parametrize("command", WORDS)
def test_the_cdi_commands_import_nothing_heavy(spec: Path, command: str) -> None:
    words = [word.replace("FILE", str(spec)).replace("FOLDER", str(spec.parent)) for word in WORDS[command]]
    code = (
        "import sys\n"
        "from talos_gpu.cli import main\n"
        f"sys.argv = ['talos-gpu', 'cdi', *{words!r}]\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n    code = ended.code or 0\n"
        "heavy = {'pydantic', 'rich', 'typer', 'grpclib', 'pulumi', 'cryptography', 'asyncio'} & set(sys.modules)\n"
        "print(code, sorted(heavy), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)
    assert done.stderr == b"0 []\n"


def test_validate_says_ok(run: Run, spec: Path) -> None:
    assert run("validate", spec) == Done(0, f"{spec}: ok\n", "")


def test_validate_says_every_fault_with_its_place(run: Run, real_spec: str) -> None:
    text = real_spec.replace("kind: nvidia.com/gpu", "kind: gpu") + "foo: 1\n"
    assert run("validate", stdin=text.encode()) == Done(
        1,
        "stdin:257:7: kind: kind 'gpu' is no <vendor>/<class> [kind]\n"
        "  source: pkg/parser/parser.go ParseQualifier\n"
        "stdin:258:1: foo: unknown field 'foo', known: cdiVersion, kind, annotations, devices, containerEdits "
        "[unknown-field]\n"
        "  source: encoding/json Decoder with DisallowUnknownFields\n",
        "",
    )


def test_validate_in_json(run: Run, spec: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yml"
    bad.write_text(HEAD + "foo: 1\n")
    done = run("validate", spec, bad, "--json")
    assert done.code == 1
    good, refused = done.json["specs"]
    assert good == {"file": str(spec), "accepted": True, "faults": [], "warnings": [], "stale": []}
    assert (refused["accepted"], refused["faults"]) == (
        False,
        [
            {
                "line": 4,
                "column": 1,
                "path": "foo",
                "rule": "unknown-field",
                "message": "unknown field 'foo', known: cdiVersion, kind, annotations, devices, containerEdits",
                "source": "encoding/json Decoder with DisallowUnknownFields",
            }
        ],
    )


def test_validate_by_the_library_of_a_newer_containerd(run: Run) -> None:
    newer = HEAD.replace("0.5.0", "1.1.0").encode()
    assert run("validate", stdin=newer).code == 1
    assert run("validate", "--library", "1.1.0", stdin=newer) == Done(0, "stdin: ok\n", "")


SECOND = "a second YAML document starts here: the CDI library reads the first alone"
BAD: dict[str, tuple[bytes, str]] = {
    "empty file": (b"", "stdin:1:1: no spec in it [empty]\n  source: pkg/cdi/spec.go ReadSpec\n"),
    "two documents": (
        (HEAD + "---\n" + HEAD).encode(),
        f"stdin:4: warning: {SECOND} [second-document]\n  source: sigs.k8s.io/yaml yaml.go UnmarshalStrict\n",
    ),
    "junk behind the first document": (
        (HEAD + "---\n}{\n").encode(),
        f"stdin:4: warning: {SECOND} [second-document]\n  source: sigs.k8s.io/yaml yaml.go UnmarshalStrict\n",
    ),
    "a hook with a relative path": (
        (HEAD + "containerEdits: {hooks: [{hookName: prestart, path: bin/hook}]}\n").encode(),
        (
            "stdin:4: warning: hook path 'bin/hook' is relative: a container that gets it fails to start "
            "[relative-hook]\n"
            "  source: OCI runtime-spec config.md, POSIX-platform hooks: path is absolute\n"
        ),
    ),
    "bytes that are no UTF-8": (
        HEAD.encode() + b"# \xff\n",
        (
            "stdin:4:3: byte 94 is no UTF-8: invalid start byte [encoding]\n"
            "  source: sigs.k8s.io/yaml goyaml.v2/readerc.go\n"
        ),
    ),
    "another kind": (
        HEAD.replace("nvidia.com/gpu", "amd.com/gpu").encode(),
        "stdin: warning: the spec is of kind 'amd.com/gpu', not 'nvidia.com/gpu' [kind]\n  source: --kind\n",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_in_its_own_words(run: Run, case: str) -> None:
    data, told = BAD[case]
    assert run("validate", "--kind", "nvidia.com/gpu", stdin=data) == Done(1, told, "")


def test_yml_is_said_to_be_ignored(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "nvidia.yml"
    path.write_text(HEAD)
    assert run("validate", path) == Done(
        1,
        f"{path}: warning: CDI reads only names that end in .yaml or .json, this one ends in .yml; "
        "rename it to end in .yaml [file-name]\n  source: pkg/cdi/spec-dirs.go scanSpecDirs\n",
        "",
    )


def test_diff_of_a_driver_upgrade_is_one_line(run: Run, spec: Path, real_spec: str) -> None:
    upgraded = real_spec.replace("535.247.01", "535.261.03").encode()
    assert run("diff", spec, "-", stdin=upgraded) == Done(
        1, "~ driver version: 535.247.01 -> 535.261.03 in 18 elements\n", ""
    )
    assert len(run("diff", "--all", spec, "-", stdin=upgraded).out.splitlines()) == 19
    assert run("diff", "--markdown", spec, "-", stdin=upgraded).out.splitlines()[2] == (
        "| changed | driver version | 535.247.01 -> 535.261.03 in 18 elements |"
    )
    assert run("diff", "--json", spec, "-", stdin=upgraded).json["changes"][0]["count"] == 18


def test_diff_of_equal_specs(run: Run, spec: Path) -> None:
    assert run("diff", spec, spec) == Done(0, "", "")


def test_diff_wants_two_sides(run: Run, spec: Path) -> None:
    assert run("diff", spec) == Done(2, "", "talos-gpu: name the other spec: NEW, or --from-node STACK\n")
    assert run("diff", "-", "-") == Done(2, "", "talos-gpu: only one of the two can be standard input\n")


def test_resolve_says_all_that_hides_a_device(run: Run, tmp_path: Path) -> None:
    for name, text in {
        "etc/a.yaml": HEAD.replace("all", "a"),
        "etc/b.yml": HEAD,
        "run/a.yaml": HEAD.replace("all", "a"),
        "run/b.yaml": HEAD,
        "run/c.yaml": HEAD,
        "run/d.yaml": HEAD + "foo: 1\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    etc, var = tmp_path / "etc", tmp_path / "run"
    assert run("resolve", etc, var) == Done(
        1,
        f"ignored {etc}/b.yml: CDI reads only names that end in .yaml or .json, this one ends in .yml; rename it to "
        "end in .yaml\n"
        f"failed {var}/d.yaml: 4:1: foo: unknown field 'foo', known: cdiVersion, kind, annotations, devices, "
        "containerEdits [unknown-field]; nothing in it can be used\n"
        f"conflict nvidia.com/gpu=all: several files of one folder give it: {var}/b.yaml, {var}/c.yaml\n"
        f"nvidia.com/gpu=a from {var}/a.yaml (shadows {etc}/a.yaml)\n",
        "",
    )
    assert run("resolve", etc, var, "--device", "nvidia.com/gpu=a") == Done(
        0, f"nvidia.com/gpu=a from {var}/a.yaml\n", ""
    )
    unresolvable = run("resolve", etc, var, "--device", "nvidia.com/gpu=all", "--json")
    assert (unresolvable.code, unresolvable.json["resolves"]) == (1, False)
    assert unresolvable.err == "talos-gpu: unresolvable: nvidia.com/gpu=all\n"
    assert run("resolve", etc, "--json").json["devices"] == [
        {"device": "nvidia.com/gpu=a", "path": f"{etc}/a.yaml", "shadowed": []}
    ]


def test_resolve_of_nothing(run: Run, tmp_path: Path) -> None:
    assert run("resolve", tmp_path) == Done(0, f"no device in {tmp_path}\n", "")


def test_show(run: Run, fixtures: Path) -> None:
    path = fixtures / "cdi/h100-580/toolkit-1.20.0.yaml"
    done = run("show", path)
    assert (done.code, done.err) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in done.out.splitlines())
    assert {key: rows[key] for key in ("kind", "cdiVersion", "driver", "devices")} == {
        "kind": "nvidia.com/gpu",
        "cdiVersion": "0.5.0",
        "driver": "580.159.04",
        "devices": "0, GPU-0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0, all",
    }
    assert "/dev/nvidia-uvm (238:0)" in rows["nodes"]
    assert run("show", path, "--json").json["driver_versions"] == ["580.159.04"]
