"""Footprints: what a preview compares, against the comparison of the configs themselves."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from talos_gpu.talos.footprint import footprint, reasons_between
from talos_gpu.talos.machine_config import lacking, wanted
from talos_gpu.talos.reboot import reboot_reasons
from talos_gpu.talos.releases import Method, ReleaseFacts, strategy_for
from talos_gpu.talos.render import render
from tests.talos.configs import BARE, R111, SPEC

R114 = strategy_for("1.14")
BODIES = [
    "  files:\n  - {path: /var/a, content: x}\n  - {path: /var/b, content: y}\n",
    "  files:\n  - {path: /var/b, content: y}\n  - {path: /var/a, content: x}\n",
    "  files:\n  - {path: /var/a, content: z}\n",
    "  files: []\n",
    "  udev: {rules: ['KERNEL==\"a\"']}\n",
    "  env: {http_proxy: none}\n",
    "  sysctls: {a.b: '1'}\n",
    "  features: {rbac: true, hostDNS: {enabled: true}}\n",
    "  features: {rbac: true, hostDNS: {enabled: false}}\n",
    "  features: {rbac: false}\n",
    "  features: null\n",
    "",
]


def config(body: str) -> str:
    return BARE.replace("machine:\n", f"machine:\n{body}", 1)


@hypothesis.given(old=st.sampled_from(BODIES), new=st.sampled_from(BODIES), release=st.sampled_from([R111, R114]))
def test_footprints_tell_as_the_configs_do(old: str, new: str, release: ReleaseFacts) -> None:
    told = reasons_between(footprint(config(old)), footprint(config(new)), release)
    assert told is not None
    truth = reboot_reasons(config(old), config(new), release)
    assert bool(told) == bool(truth)
    areas = [
        {".".join(reason.key.partition(":")[0].split(" ")[0].split(".")[:2]) for reason in of} for of in (told, truth)
    ]
    assert areas[0] == areas[1]


def test_what_the_gpu_needs_names_its_keys() -> None:
    rendered = render(BARE, lacking(BARE, SPEC).patches)
    told = reasons_between(footprint(BARE), footprint(rendered), R111)
    assert told is not None
    assert [reason.sentence for reason in told] == [
        "machine.files: /etc/cri/conf.d/20-customization.part (files are written at boot)",
        "machine.udev (udev rules are read at boot)",
    ]
    jit = render(BARE, lacking(BARE, wanted(R111, Method.JIT)).patches)
    again = reasons_between(footprint(jit), footprint(rendered), R111)
    assert again is not None
    assert [reason.key for reason in again] == ["machine.files: /etc/cri/conf.d/20-customization.part"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, footprint(BARE)),
        (footprint(BARE), {}),
        (footprint(BARE), footprint(BARE.replace("0123456789abcdef", "fedcba9876543210"))),
    ],
    ids=["nothing known", "no secret", "another secret"],
)
def test_what_cannot_be_compared_is_said(old: dict[str, str], new: dict[str, str]) -> None:
    assert reasons_between(old, new, R111) is None


def test_no_value_can_be_guessed_from_a_footprint() -> None:
    one = footprint(config("  env: {password: a}\n"))
    other = footprint(config("  env: {password: a}\n").replace("abcdef.", "fedcba."))
    assert one.keys() == other.keys()
    assert not set(one.values()) & set(other.values())
    assert footprint("machine: {env: {password: a}}\n") == {}
