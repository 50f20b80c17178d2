"""The verdict is the official library's: fixtures, and specs changed at random."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from talos_gpu.cdi import faults
from tests.cdi.mutate import Mutator
from tests.cdi.oracle_client import Oracle

CASES = int(os.environ.get("CDI_CASES", "1000"))
FIRST = int(os.environ.get("CDI_FIRST_CASE", "0"))
ACCEPTED_AT_LEAST = 0.4
# what only we refuse, by the words of the fault; each has its case at the end of this file
LISTED = ("unexpected ':'", "behind a tag", "already set", "means", "!!timestamp")


def test_the_fixtures_are_accepted_by_both(oracle: Oracle, fixtures: Path) -> None:
    for path in sorted((fixtures / "cdi").glob("*/*")):
        text = path.read_text()
        assert (oracle.verdict(text), faults(text)) == ("ok", []), path


def test_changed_specs_get_the_same_verdict(oracle: Oracle) -> None:
    """CDI_CASES sets how many, CDI_FIRST_CASE where the seeds start."""
    asked, accepted = oracle.asked, oracle.accepted
    wrong: list[str] = []
    for seed in range(FIRST, FIRST + CASES):
        text = Mutator(seed).text()
        answer = oracle.verdict(text)
        found = faults(text)
        stricter = answer == "ok" and any(words in fault.message for fault in found for words in LISTED)
        if (answer == "ok") != (not found) and not stricter:
            wrong.append(
                f"seed {seed}: library: {answer}; here: {[str(fault) for fault in found] or 'ok'}\n{text[:1500]}"
            )
    share = (oracle.accepted - accepted) / (oracle.asked - asked)
    print(f"{CASES} cases, {share:.0%} accepted by the library, {len(wrong)} disagreements")
    assert not wrong, f"{len(wrong)} disagreements, the first:\n" + "\n".join(wrong[:3])
    assert share >= ACCEPTED_AT_LEAST


@pytest.mark.parametrize("text", ["", "\n", "null", "[]", "a", "---\n", "# only\n", "{}"])
def test_texts_without_a_spec_are_refused_by_both(oracle: Oracle, text: str) -> None:
    assert oracle.verdict(text) != "ok"
    assert faults(text)


HEAD = "cdiVersion: 1.0.0\nkind: nvidia.com/gpu\ndevices: [{name: all, containerEdits: {env: [A=b]}}]\n"
HOOK = "containerEdits: {hooks: [{hookName: prestart, path: /a, args: [%s]}]}\n"


@pytest.mark.parametrize(
    "text",
    [
        HEAD + HOOK % "a?b",
        HEAD + HOOK % "!x",
        HEAD + HOOK % '"a\\/b"',
        HEAD + HOOK % "! 12",
        HEAD + HOOK % "!!int x",
        HEAD + "containerEdits: {env:}\n",
        HEAD + "containerEdits: {env: [0b-1]}\n",
        HEAD + "annotations: {a: [x]}\n",
        HEAD + "annotations: {~: a}\n",
        HEAD + "annotations: {x: 1, 'a b c': ''}\n",
        HEAD + "<<: {annotations: {a: b}}\n",
        HEAD + "<<: {kind: a/b}\n",
        HEAD + "containerEdits: !!str {env: [A=b]}\n",
        HEAD + "---\n}{",
        HEAD + "...\nfoo: bar\n",
        HEAD.replace("kind", "\u212aind"),
        HEAD.replace("kind", "KIND"),
        HEAD + "Kind: nvidia.com/other\n",
        HEAD + "kinD: n\n",
        HEAD.replace("nvidia.com/gpu", "n/gpu"),
        HEAD.replace("1.0.0", "1.1.0"),
        HEAD.replace("all", '"a\\0b"'),
        "%YAML 1.1\n---\n" + HEAD,
        "%YAML 1.2\n---\n" + HEAD,
        "\ufeff" + HEAD,
        HEAD.replace("\n", "\r"),
        HEAD + "\0",
        "[" * 20000,
        "- " * 3000,
    ],
)
def test_corners_get_the_same_verdict(oracle: Oracle, text: str) -> None:
    answer = oracle.verdict(text)
    told = [str(fault) for fault in faults(text)]
    assert (answer == "ok") == (not told), (answer, told)


@pytest.mark.parametrize(
    "text",
    [
        HEAD + HOOK % "!x, a",
        HEAD + HOOK % "a=:",
        HEAD + "annotations: {1: a, '1': b}\n",
        HEAD + "containerEdits: {env: [A=b]}\nContainerEdits: {env: [C=d]}\n",
        HEAD + HOOK % "!!timestamp 2001-01-01",
    ],
    ids=["comma behind a tag", "colon before a bracket", "1 and '1'", "two spellings of a mapping", "timestamp"],
)
def test_the_listed_disagreements_are_all_stricter_here(oracle: Oracle, text: str) -> None:
    """What the library accepts and we refuse: none is written by any generator, and guessing would be worse."""
    assert oracle.verdict(text) == "ok"
    assert faults(text)
