"""`talos-gpu machine render` as a process: what it prints, and that it prints nothing where it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from talos_gpu.talos.machine_config import lacking, wanted
from talos_gpu.talos.part import PART_PATH
from talos_gpu.talos.releases import Method, strategy_for
from talos_gpu.talos.render import render

BASE = """\
version: v1alpha1
machine:
  type: worker
  token: geheim.0123456789abcdef # a secret
"""
CLASH = f"""\
machine:
  nodeLabels: {{node.kubernetes.io/gpu-vendor: amd}}
  files: [{{path: {PART_PATH}, content: "[plugins"}}]
"""


def talos_gpu(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "talos_gpu", "machine", "render", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "worker.yaml"
    path.write_text(BASE)
    return path


def test_the_rendered_config_is_printed_whole(base: Path) -> None:
    said = talos_gpu("--talos", "v1.11.1", "--base", str(base))
    want = wanted(strategy_for("1.11"), Method.SPEC)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout == render(BASE, lacking(BASE, want).patches)
    again = talos_gpu("--talos", "v1.11.1", "--base", "-", stdin=said.stdout)
    assert again.stdout == said.stdout
    assert talos_gpu("--talos", "v1.11.1", "--base", "-", "--diff", stdin=said.stdout).stdout == "nothing to add\n"


def test_jit_has_the_name_that_the_pages_give_it(base: Path) -> None:
    long, short = (
        talos_gpu("--talos", "v1.11.1", "--base", str(base), "--method", name) for name in ("jit-cdi", "jit")
    )
    assert (long.returncode, long.stderr) == (0, "")
    assert long.stdout == short.stdout == render(BASE, lacking(BASE, wanted(strategy_for("1.11"), Method.JIT)).patches)


def test_a_diff_says_what_changes_why_and_what_it_costs(base: Path) -> None:
    said = talos_gpu("--talos", "v1.11.1", "--base", str(base), "--method", "jit", "--diff")
    assert said.returncode == 0
    assert (
        said.stdout
        == """\
+ kernel module nvidia
+ kernel module nvidia_uvm
+ kernel module nvidia_drm
+ kernel module nvidia_modeset
+ udev rule SUBSYSTEM=="drm", KERNEL=="renderD*", GROUP="44", MODE="0660"
+ udev rule SUBSYSTEM=="drm", KERNEL=="card*", GROUP="44", MODE="0660"
+ node label node.kubernetes.io/gpu-vendor=nvidia
applying it restarts the node: machine.udev (udev rules are read at boot)

--- base
+++ rendered
@@ -2,3 +2,15 @@
 machine:
   type: worker
   token: (redacted) # ...
+  kernel:
+    modules:
+    - name: nvidia
+    - name: nvidia_uvm
+    - name: nvidia_drm
+    - name: nvidia_modeset
+  udev:
+    rules:
+    - SUBSYSTEM=="drm", KERNEL=="renderD*", GROUP="44", MODE="0660"
+    - SUBSYSTEM=="drm", KERNEL=="card*", GROUP="44", MODE="0660"
+  nodeLabels:
+    node.kubernetes.io/gpu-vendor: nvidia
"""
    )


def test_a_diff_for_programs(base: Path) -> None:
    said = json.loads(talos_gpu("--talos", "v1.11.1", "--base", str(base), "--diff", "--json").stdout)
    assert said["restarts"] == [
        {"key": f"machine.files: {PART_PATH}", "why": "files are written at boot", "by": "apply"},
        {"key": "machine.udev", "why": "udev rules are read at boot", "by": "apply"},
    ]
    assert len(said["added"]) == 8
    assert "geheim" not in said["diff"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "words"),
    [
        (("--talos", "v1.11.1"), CLASH, 1, "the base says 'amd', the GPU needs 'nvidia'"),
        (("--talos", "v1.11.1"), CLASH, 1, "of the base: it is no TOML"),
        (("--talos", "v1.16.0"), BASE, 1, "newer than every release that is in the table"),
        (("--talos", "v1.13.0", "--method", "spec"), BASE, 1, "method spec does not fit Talos 1.13"),
        (("--talos", "v1.11.1"), "machine: [", 2, "the base machine config cannot be used"),
    ],
)
def test_a_refusal_prints_nothing_and_says_why(arguments: tuple[str, ...], stdin: str, code: int, words: str) -> None:
    said = talos_gpu(*arguments, "--base", "-", stdin=stdin)
    assert (said.returncode, said.stdout) == (code, "")
    assert words in said.stderr
    assert "remedy: " in said.stderr


def test_an_unknown_release_can_be_treated_as_a_known_one(base: Path) -> None:
    said = talos_gpu("--talos", "v1.16.0", "--treat-as", "1.14", "--base", str(base))
    assert said.returncode == 0
    assert said.stdout.count("kind: KernelModuleConfig") == 4
    assert said.stderr == "warning: Talos 1.14: read from its sources, not proven in the project's lab\n"


def test_a_file_that_is_not_there_is_unusable(tmp_path: Path) -> None:
    said = talos_gpu("--talos", "1.11", "--base", str(tmp_path / "no.yaml"))
    assert (said.returncode, said.stdout) == (2, "")
    assert "no.yaml: No such file or directory" in said.stderr
