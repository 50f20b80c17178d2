"""Patching by splice: hook paths change, every other byte stays; what is not safe is refused."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talos_gpu.cdi import CdiError, HookPathUnknown, Library, PatchUnsafe, SpecInvalid, Strategy, diff, parse, patch
from talos_gpu.cdi.tree import compose, same_but
from tests.cdi.mutate import Mutator

WRAPPER = "/usr/local/bin/nvidia-cdi-hook"
REAL = "/usr/local/bin/nvidia-cdi-hook.real"
HEAD = "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices: [{name: all, containerEdits: {env: [A=b]}}]\n"


def spec_with(hooks: str) -> str:
    return f"{HEAD}containerEdits:\n  hooks:\n{hooks}"


def test_only_the_hook_paths_of_the_seeds_node_change(real_spec: str) -> None:
    patched = patch(real_spec, Strategy.REAL)
    before, after = real_spec.splitlines(), patched.text.splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {(old.strip(), new.strip()) for old, new in changed} == {(f"path: {WRAPPER}", f"path: {REAL}")}
    assert len(changed) == patched.replaced == 10
    assert patched.hooks == (REAL,)
    assert patched.devices == ("0", "GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d", "all")
    assert patched.kind == "nvidia.com/gpu"


def test_the_digests_are_of_the_bytes(real_spec: str) -> None:
    patched = patch(real_spec, Strategy.REAL)
    assert patched.source_sha256 == hashlib.sha256(real_spec.encode()).hexdigest()
    assert patched.sha256 == hashlib.sha256(patched.text.encode()).hexdigest()


def test_a_second_patch_changes_nothing(fixtures: Path) -> None:
    for path in sorted((fixtures / "cdi").glob("*/*")):
        if "hook-nvidia-ctk" in path.name:
            continue
        once = patch(path.read_text(), Strategy.REAL)
        twice = patch(once.text, Strategy.REAL)
        assert (twice.text, twice.replaced, once.replaced > 0) == (once.text, 0, True), path


def test_nothing_but_hook_paths_differs_in_meaning(fixtures: Path) -> None:
    for path in sorted((fixtures / "cdi").glob("*/*")):
        if "hook-nvidia-ctk" not in path.name:
            text = path.read_text()
            patched = patch(text, Strategy.REAL).text
            assert patched.replace(REAL, WRAPPER) == text, path
            assert all(hook.path == REAL for hook in parse(patched).hooks()), path


def test_args_env_and_remarks_with_the_same_text_stay() -> None:
    text = spec_with(
        f"  - hookName: createContainer  # runs {WRAPPER}\n"
        f"    path:   '{WRAPPER}'   # not quoted by the tool\n"
        f"    args: [{WRAPPER}, chmod]\n"
        f'    env: ["A={WRAPPER}"]\n'
        f'  - {{"hookName": "createContainer","path":"{WRAPPER}"}}\n'
    )
    patched = patch(text, Strategy.REAL)
    wanted = text.replace(f"'{WRAPPER}'", f"'{REAL}'").replace(f'"path":"{WRAPPER}"', f'"path":"{REAL}"')
    assert (patched.text, patched.replaced) == (wanted, 2)


@pytest.mark.parametrize(
    "prefix", ["\ufeff", "# h\u00e9llo \U0001f600\n", "---\r\n"], ids=["mark", "wide letters", "CRLF"]
)
def test_offsets_are_right_behind_odd_characters(prefix: str) -> None:
    text = prefix + spec_with(f"  - {{hookName: createContainer, path: {WRAPPER}}}\n")
    assert patch(text, Strategy.REAL).text == text.replace(WRAPPER, REAL)


@pytest.mark.parametrize(
    ("hooks", "reason"),
    [
        (f"  - {{hookName: createContainer, path: &p {WRAPPER}, args: [*p]}}\n", "the path is an anchor"),
        (f"  - {{hookName: createContainer, args: [&p {WRAPPER}], path: *p}}\n", "it comes through an alias"),
        (
            f"  - &h {{hookName: createContainer, path: {WRAPPER}}}\n  - {{<<: *h, args: [a]}}\n",
            "it comes through an alias, a merge key",
        ),
        (
            f"  - hookName: createContainer\n    path: >-\n      {WRAPPER}\n",
            "tagged, folded, escaped or a block scalar",
        ),
        (
            f"  - hookName: createContainer\n    path: |-\n      {WRAPPER}\n",
            "tagged, folded, escaped or a block scalar",
        ),
        (f"  - {{hookName: createContainer, path: !!str {WRAPPER}}}\n", "folded, escaped or a block"),
        ('  - {hookName: createContainer, path: "/usr/local/bin/nvidia\\x2dcdi-hook"}\n', "escaped"),
        (f"  - {{hookName: createContainer, path: {WRAPPER}, Path: /a}}\n", "two spellings"),
    ],
)
def test_what_cannot_be_replaced_safely_is_refused(hooks: str, reason: str) -> None:
    with pytest.raises(PatchUnsafe, match=reason):
        patch(spec_with(hooks), Strategy.REAL)


def test_unknown_hook_paths_are_all_reported_with_their_lines() -> None:
    hooks = "".join(f"  - {{hookName: createContainer, path: {path}}}\n" for path in (WRAPPER, "/a", "/b"))
    with pytest.raises(HookPathUnknown) as caught:
        patch(spec_with(hooks), Strategy.REAL)
    assert caught.value.unknown == (("/a", 7), ("/b", 8))
    assert str(caught.value).startswith(f"line 7: hook path '/a'; line 8: hook path '/b': none of {WRAPPER}, {REAL}\n")


def test_nvidia_ctk_needs_no_patch_and_accepts_nothing_else(fixtures: Path, real_spec: str) -> None:
    text = (fixtures / "cdi/h100-580/toolkit-1.17.8-hook-nvidia-ctk.yaml").read_text()
    patched = patch(text, Strategy.NVIDIA_CTK)
    assert (patched.text, patched.replaced, patched.hooks) == (text, 0, ("/usr/local/bin/nvidia-ctk",))
    with pytest.raises(HookPathUnknown):
        patch(real_spec, Strategy.NVIDIA_CTK)


def test_none_takes_any_valid_spec_as_it_is(real_spec: str) -> None:
    assert patch(real_spec, Strategy.NONE).text == real_spec


def test_another_tree_than_the_sources_is_seen(real_spec: str) -> None:
    root = compose(real_spec)
    assert root is not None
    assert same_but(root, {}, real_spec)
    for old, new in (
        ("kind: nvidia.com/gpu", "kind: nvidia.com/gp"),
        ("kind: nvidia.com/gpu", "kind: 'nvidia.com/gpu'"),
        ("kind: nvidia.com/gpu", "kind: [nvidia.com/gpu]"),
        ("kind: nvidia.com/gpu", "kind: &a nvidia.com/gpu"),
        ("kind: nvidia.com/gpu", "kind: !!str nvidia.com/gpu"),
        ("kind: nvidia.com/gpu", "kind: nvidia.com/gpu\nmore: 1"),
        ("kind: nvidia.com/gpu", "}"),
    ):
        assert not same_but(root, {}, real_spec.replace(old, new)), new


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(chance=st.randoms(use_true_random=False), strategy=st.sampled_from(Strategy))
def test_any_spec_is_refused_or_patched_once_and_nowhere_else(chance: random.Random, strategy: Strategy) -> None:
    text = Mutator(chance).text()
    try:
        once = patch(text, strategy)
    except CdiError:
        return
    assert patch(once.text, strategy).text == once.text
    assert len(once.text) - len(text) == once.replaced * len(".real")
    before, after = parse(text), parse(once.text)
    assert [hook.path for hook in after.hooks()] == [
        strategy.replaces.get(hook.path, hook.path) for hook in before.hooks()
    ]
    changes = {(change.place.element, change.place.field) for change in diff(text, once.text, library=Library.V1_0_1)}
    assert changes <= {("hook", "path")}


def test_an_invalid_spec_is_not_patched(real_spec: str) -> None:
    with pytest.raises(SpecInvalid):
        patch(real_spec + "foo: bar\n", Strategy.REAL)
