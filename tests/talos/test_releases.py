"""The table of Talos releases."""

from __future__ import annotations

from pathlib import Path

import pytest

from talos_gpu.cdi import Strategy
from talos_gpu.talos.drivers import Generation, flavours, needs_open_modules
from talos_gpu.talos.errors import MethodUnfit, UnknownRelease
from talos_gpu.talos.messages import ApplyMode
from talos_gpu.talos.release_table import table
from talos_gpu.talos.releases import CRI_SECTION_1, CRI_SECTION_2, RELEASES, Method, strategy_for


def test_the_table_as_a_person_reads_it() -> None:
    rows = [
        f"{facts.minor} {'wrapper' if facts.wrapper else '-'} {facts.hook} {facts.cri_section} "
        f"{'reboots' if facts.reboot_on_apply else '-'} {','.join(facts.methods)} {'proven' if facts.proven else '-'}"
        for facts in RELEASES
    ]
    assert rows == [
        f"1.7 wrapper none {CRI_SECTION_1} reboots spec,sysctl -",
        f"1.8 wrapper real {CRI_SECTION_2} reboots spec,sysctl -",
        f"1.9 wrapper real {CRI_SECTION_2} reboots jit,spec,sysctl -",
        f"1.10 wrapper real {CRI_SECTION_2} reboots jit,spec,sysctl -",
        f"1.11 wrapper real {CRI_SECTION_2} reboots jit,spec,sysctl proven",
        f"1.12 wrapper real {CRI_SECTION_2} reboots jit,spec,sysctl -",
        f"1.13 - none {CRI_SECTION_2} reboots native -",
        f"1.14 - none {CRI_SECTION_2} - native -",
    ]


def test_what_differs_in_1_14() -> None:
    before, after = strategy_for("1.13"), strategy_for("1.14")
    assert set(before.apply_modes) - set(after.apply_modes) == {ApplyMode.REBOOT}
    assert (before.part_at_boot, after.part_at_boot) == (True, False)
    assert (before.udev_at_boot, after.udev_at_boot) == (True, False)
    assert sorted(after.documents - before.documents) == [
        "CRICustomizationConfig",
        "KernelModuleConfig",
        "UdevRulesConfig",
    ]


def test_the_hook_binary_and_the_flags_of_the_generator() -> None:
    assert [(facts.minor, facts.cdi_hook) for facts in RELEASES if facts.minor in {"1.7", "1.12", "1.13"}] == [
        ("1.7", None),
        ("1.12", "/usr/local/bin/nvidia-cdi-hook.real"),
        ("1.13", "/usr/bin/nvidia-cdi-hook"),
    ]
    assert [facts.minor for facts in RELEASES if facts.generator_fallback] == ["1.8"]


def test_extensions_have_a_suffix_from_1_8_on() -> None:
    assert strategy_for("1.7").extensions["lts"][1] == "siderolabs/nvidia-container-toolkit"
    assert strategy_for("1.8").extensions["lts"] == (
        "siderolabs/nonfree-kmod-nvidia-lts",
        "siderolabs/nvidia-container-toolkit-lts",
    )


@pytest.mark.parametrize(
    ("version", "generation", "expected"),
    [
        ("1.11", Generation.PASCAL, ("lts", "production")),
        ("1.12", Generation.PASCAL, ("lts", "production")),
        ("1.13", Generation.PASCAL, ("lts",)),
        ("1.14", Generation.VOLTA, ("lts",)),
        ("1.14", Generation.TURING, ("lts", "production")),
        ("1.9", Generation.BLACKWELL, ()),
        ("1.11", Generation.BLACKWELL, ("production",)),
        ("1.13", Generation.KEPLER, ()),
    ],
)
def test_a_generation_finds_its_driver(version: str, generation: Generation, expected: tuple[str, ...]) -> None:
    assert flavours(strategy_for(version), generation) == expected


def test_only_blackwell_has_no_closed_modules() -> None:
    assert [generation.name for generation in Generation if needs_open_modules(generation)] == ["BLACKWELL"]


def test_every_release_names_its_sources() -> None:
    assert all(f"release-{facts.minor}:" in facts.sources[0] for facts in RELEASES)


@pytest.mark.parametrize("version", ["v1.11.1", "1.11", "v1.11.0-beta.2", "1.11.6"])
def test_a_version_finds_its_minor(version: str) -> None:
    facts = strategy_for(version)
    assert (facts.minor, facts.hook, facts.toolkit) == ("1.11", Strategy.REAL, "1.17.8")


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("v1.6.7", "older than 1.7, the first release that is in the table"),
        (
            "v1.15.0",
            "its NVIDIA extension no longer has the container toolkit (the GPU Operator brings it): not handled here",
        ),
        ("v1.16.0", "newer than every release that is in the table: what it does with CDI specs is not known"),
        ("v2.0.0", "newer than every release that is in the table: what it does with CDI specs is not known"),
        ("latest", "not a version such as v1.11.1"),
        ("v1.111.1x", "not a version such as v1.11.1"),
    ],
)
def test_an_unknown_release_is_refused_with_the_reason(version: str, reason: str) -> None:
    with pytest.raises(UnknownRelease) as caught:
        strategy_for(version)
    assert str(caught.value) == (
        f"Talos {version}: {reason}\n"
        "  remedy: use a release between 1.7 and 1.14, or name the known release to treat it as"
    )


def test_a_refusal_can_be_overridden_by_name() -> None:
    assert strategy_for("v1.16.0", treat_as="1.14").minor == "1.14"


@pytest.mark.parametrize(
    ("version", "method", "text"),
    [
        (
            "v1.13.2",
            Method.SPEC,
            (
                "method spec does not fit Talos 1.13: the system makes its own CDI spec at boot, "
                "and an installed or patched one would break it\n  remedy: choose one of: native"
            ),
        ),
        (
            "v1.11.1",
            Method.NATIVE,
            (
                "method native does not fit Talos 1.11: the system's own CDI service came with 1.13\n"
                "  remedy: choose one of: jit, spec, sysctl"
            ),
        ),
        (
            "v1.8.3",
            Method.JIT,
            (
                "method jit does not fit Talos 1.8: its toolkit cannot make a spec in memory (that came with 1.9)\n"
                "  remedy: choose one of: spec, sysctl"
            ),
        ),
    ],
)
def test_a_method_that_does_not_fit_is_refused(version: str, method: Method, text: str) -> None:
    with pytest.raises(MethodUnfit) as caught:
        strategy_for(version).require(method)
    assert str(caught.value) == text


def test_jit_has_its_long_name_too() -> None:
    assert Method("jit-cdi") is Method.JIT


def test_the_docs_show_this_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "machine-config.md"
    assert table() in page.read_text()
