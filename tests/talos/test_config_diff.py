"""Diffs of machine configs show what changes and no secret."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings

from talos_gpu.talos.config_diff import config_diff
from talos_gpu.talos.errors import MachineConfigInvalid
from talos_gpu.talos.machine_config import lacking, wanted
from talos_gpu.talos.part import PART_PATH
from talos_gpu.talos.redaction import redact, redact_config
from talos_gpu.talos.releases import Method, strategy_for
from talos_gpu.talos.render import render
from tests.talos.bases import Recipe, recipes

BASE = f"""\
version: v1alpha1
machine:
  type: worker # geheim0
  token: geheim1
  ca: {{crt: geheim2, key: "geheim3"}}
  env: {{HTTPS_PROXY: "http://u:geheim4@proxy"}}
  files:
  - path: /var/x
    content: |
      geheim5
  - path: {PART_PATH}
    content: |
      # theirs
      [plugins."x".registry.configs."r".auth]
        password = "geheim6"
      [plugins."y"]
        login = {{ user = "u", token = "geheim7" }}
    op: create
  nodeLabels: {{rack: a1}}
cluster: {{secret: geheim8}}
---
apiVersion: v1alpha1
kind: KmsgLogConfig
name: geheim9
"""


def test_a_diff_shows_the_gpus_fields_and_hides_the_rest() -> None:
    want = wanted(strategy_for("v1.11.1"), Method.JIT)
    rendered = render(BASE, lacking(BASE, want).patches)
    assert "geheim" not in config_diff(BASE, rendered)
    assert (
        config_diff(BASE, rendered)
        == """\
--- base
+++ rendered
@@ -15,7 +15,17 @@
       [plugins."y"]
         login = { user = "u", token = (redacted) }
     op: create
-  nodeLabels: {rack: a1}
+  nodeLabels: {rack: a1, node.kubernetes.io/gpu-vendor: nvidia}
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
 cluster: {secret: (redacted)}
 ---
 apiVersion: (redacted)
"""
    )


@pytest.mark.parametrize("style", ["'", '"', None])
def test_a_part_in_quotes_is_hidden_if_it_has_a_secret(style: str | None) -> None:
    part = '[x.auth]\npassword = "with a space, geheim"\n'
    base = yaml.safe_dump({"machine": {"files": [{"path": PART_PATH, "content": part}]}}, default_style=style)
    assert "geheim" not in redact_config(base)


@pytest.mark.parametrize(
    "base",
    [
        "machine: {sysctls: &s {a: geheim}, env: *s}\n",
        "machine: {? {token: geheim} : x}\n",
        "machine:\n  nodeLabels: {}\n  pods: [{data: !!binary geheim}] # geheim\n...\n",
        f"machine: {{files: [{{path: {PART_PATH}, content: '[a]\n\ntoken = geheim'}}]}}\n",
    ],
)
def test_no_form_shows_a_hidden_value(base: str) -> None:
    assert "geheim" not in redact_config(base)


def test_aliases_without_an_end_are_refused() -> None:
    with pytest.raises(MachineConfigInvalid):
        redact_config("a: &a [*a]\nmachine: {}\n")


def test_what_is_the_same_has_no_diff() -> None:
    assert config_diff(BASE, BASE) == ""


@settings(max_examples=60, deadline=None)
@given(recipe=recipes(("1.11",)))
def test_no_value_of_another_field_is_ever_shown(recipe: Recipe) -> None:
    secret = "Geheimnis=="
    generated = (
        f"machine:\n    token: {secret}\n    ca:\n        crt: '{secret}'\n"
        f"        key: |\n            {secret}\ncluster: [{secret}]\n"
    )
    base = recipe.base(f"version: v1alpha1\n{generated}").replace("/dev/watchdog0", secret)
    assert secret in base
    assert secret not in redact_config(base)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("+    token: abc.def", "+    token: (redacted)"),
        ("  - key: LS0t", "  - key: (redacted)"),
        ('password = "a b"', "password = (redacted)"),
        ('x = { auth_token = "a b", c = 1 }', "x = { auth_token = (redacted), c = 1 }"),
        ("A" * 80, "(redacted)"),
        ("kernel module nvidia", "kernel module nvidia"),
    ],
)
def test_what_sounds_like_a_secret_is_taken_out_of_any_text(text: str, shown: str) -> None:
    assert redact(text) == shown
