"""The verdict is the official library's: fixtures, and specs changed at random.

TALOS_GPU_FUZZ=100000 asks for that many specs instead of a thousand, TALOS_GPU_FUZZ_FIRST says where the seeds start.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talos_gpu.cdi import Library, SpecFault, SpecInvalid, decode, faults
from tests.cdi.mutate import Mutator
from tests.cdi.oracle_client import Oracle

CASES = int(os.environ.get("TALOS_GPU_FUZZ", "1000"))
FIRST = int(os.environ.get("TALOS_GPU_FUZZ_FIRST", "0"))
ACCEPTED_AT_LEAST = 0.4
LISTED = {
    "unexpected ':'": "a colon before a bracket",
    "behind a tag": "a flow indicator behind a tag",
    "already set": "1 and '1' as keys",
    "means": "two spellings of a list or mapping",
    "!!timestamp": "an explicit !!timestamp",
}
"""What only we refuse, by the words of the fault; each has its case at the end of this file."""


def refusals(spec: str | bytes, library: Library) -> list[SpecFault]:
    """What we say of bytes."""
    try:
        text = spec if isinstance(spec, str) else decode(spec).text
    except SpecInvalid as error:
        return list(error.faults)
    return faults(text, library=library)


def listed(found: list[SpecFault]) -> str:
    """Which listed constructs a refusal is about, "" if any fault of it is about none."""
    names = [next((name for words, name in LISTED.items() if words in fault.message), "") for fault in found]
    return " and ".join(dict.fromkeys(names)) if all(names) else ""


def disagreement(oracle: Oracle, data: bytes, stricter: Counter[str] | None = None) -> str:
    """What oracle and we say where that differs and is not listed, else ""; `stricter` counts what is listed."""
    answer = oracle.verdict(data)
    found = refusals(data, oracle.library)
    if (answer == "ok") == (not found):
        return ""
    if answer == "ok" and (name := listed(found)):
        if stricter is not None:
            stricter[name] += 1
        return ""
    told = [str(fault) for fault in found] or "ok"
    return f"CDI {oracle.library}: {answer}; here: {told}\n{data[:1500]!r}"


def test_a_fault_that_is_not_listed_is_not_forgiven_beside_one_that_is() -> None:
    one, other = (SpecFault(1, 1, "", "", message, "") for message in ("key 'a' already set at line 1", "no devices"))
    assert listed([one]) == "1 and '1' as keys"
    assert listed([one, other]) == ""


def test_the_fixtures_are_accepted_by_both(oracle: Oracle, fixtures: Path) -> None:
    for path in sorted((fixtures / "cdi").glob("*/*")):
        text = path.read_text()
        assert (oracle.verdict(text), faults(text, library=oracle.library)) == ("ok", []), path


@pytest.fixture(scope="session")
def seeds(fixtures: Path) -> list[Any]:
    return [yaml.safe_load(path.read_text()) for path in sorted((fixtures / "cdi").glob("*/*"))]


def test_changed_specs_get_the_same_verdict(oracles: dict[Library, Oracle], seeds: list[Any]) -> None:
    """Each case goes to both releases."""
    before = {library: (oracle.asked, oracle.accepted) for library, oracle in oracles.items()}
    wrong: list[str] = []
    stricter = Counter[str]()
    for seed in range(FIRST, FIRST + CASES):
        data = Mutator(seed, seeds).data()
        wrong += [
            f"seed {seed}: {said}" for oracle in oracles.values() if (said := disagreement(oracle, data, stricter))
        ]
    for library, oracle in oracles.items():
        asked, accepted = oracle.asked - before[library][0], oracle.accepted - before[library][1]
        print(f"CDI {library}: {asked} cases, {accepted / asked:.1%} accepted by the library")
        assert accepted / asked >= ACCEPTED_AT_LEAST
    print(f"{len(wrong)} disagreements; listed, refused here alone: {dict(stricter)}")
    assert not wrong, f"{len(wrong)} disagreements, the first:\n" + "\n".join(wrong[:3])


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(chance=st.randoms(use_true_random=False))
def test_a_disagreement_would_be_shrunk(
    oracles: dict[Library, Oracle], seeds: list[Any], chance: random.Random
) -> None:
    data = Mutator(chance, seeds).data()
    assert [said for oracle in oracles.values() if (said := disagreement(oracle, data))] == []


def test_ten_megabytes_get_the_same_verdict(oracle: Oracle) -> None:
    hook = "  - {hookName: createContainer, path: /usr/local/bin/nvidia-cdi-hook, args: [a, b, c]}\n"
    junk = "x" * 10_000_000
    for text in (HEAD + "#" + junk, HEAD + f"{junk}: 1\n", HEAD + "containerEdits:\n  hooks:\n" + hook * 2000):
        assert (oracle.verdict(text) == "ok") == (not faults(text, library=oracle.library))


@pytest.mark.parametrize("text", ["", "\n", "null", "[]", "a", "---\n", "# only\n", "{}"])
def test_texts_without_a_spec_are_refused_by_both(oracle: Oracle, text: str) -> None:
    assert oracle.verdict(text) != "ok"
    assert faults(text, library=oracle.library)


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
        *(HEAD.replace("1.0.0", version) for version in ("0.1.0", "0.2.0", "0.3.0", "v0.2.0", "1.1.0")),
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
    told = [str(fault) for fault in refusals(text, oracle.library)]
    assert (answer == "ok") == (not told), (answer, told)


def aliased(devices: int, env: int) -> str:
    """Devices that are all given the same edits by an alias."""
    first = f"- {{name: a, containerEdits: &e {{env: [{', '.join(['A=b'] * env)}]}}}}\n"
    more = "".join(f"- {{name: d{number}, containerEdits: *e}}\n" for number in range(devices))
    return f"cdiVersion: 0.6.0\nkind: nvidia.com/gpu\ndevices:\n{first}{more}"


def merged(depth: int) -> str:
    """Merge keys in merge keys, each twice."""
    text = "&m0 {}"
    for level in range(1, depth + 1):
        text = f"&m{level} {{<<: [{text}, *m{level - 1}]}}"
    return HEAD + f"annotations: {text}\n"


def chained(links: int) -> str:
    """Annotations each of which merges the ones before."""
    chain = (
        f"- {{name: n{link}, annotations: &m{link} {{<<: *m{link - 1}}}, containerEdits: *e}}\n"
        for link in range(1, links)
    )
    first = "- {name: n0, annotations: &m0 {a: b}, containerEdits: &e {env: [A=b]}}\n"
    return f"cdiVersion: 0.6.0\nkind: nvidia.com/gpu\ndevices:\n{first}{''.join(chain)}"


@pytest.mark.parametrize(
    "text",
    [
        *(aliased(devices, env) for devices in (20, 95, 101, 200) for env in (10, 500, 1000)),
        *(merged(depth) for depth in range(1, 15)),
        *(chained(links) for links in (3, 600, 620, 640, 660, 1500)),
        HEAD + "annotations: &a {<<: *a}\n",
        HEAD + "containerEdits: {env: &a [*a]}\n",
    ],
    ids=lambda text: f"{len(text)} characters",
)
def test_many_aliased_values_get_the_same_verdict(oracle: Oracle, text: str) -> None:
    """go-yaml refuses by how many of the values that it decodes come through aliases."""
    answer, told = oracle.verdict(text), [str(fault) for fault in faults(text, library=oracle.library)]
    assert (answer == "ok") == (not told), (answer, told[:3])


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
    assert faults(text, library=oracle.library)
