"""udev rules as udev reads them."""

from __future__ import annotations

import pytest

from talos_gpu.talos.udev import UdevRule, same_rule

RULE = 'SUBSYSTEM=="drm", KERNEL=="card*", GROUP="44", MODE="0660"'


@pytest.mark.parametrize(
    "spelling",
    [
        RULE,
        f"  {RULE}\n",
        RULE.replace(", ", ","),
        RULE.replace(", ", " "),
        RULE.replace("==", " == "),
        'MODE="0660", GROUP="44", KERNEL=="card*", SUBSYSTEM=="drm"',
    ],
)
def test_spaces_commas_and_order_say_nothing(spelling: str) -> None:
    assert same_rule(RULE, [spelling])


@pytest.mark.parametrize(
    "other",
    [
        RULE.replace("card", "renderD"),
        RULE.replace("GROUP=", "GROUP:="),
        RULE.replace('KERNEL=="card*", ', ""),
        RULE + ', TAG+="x"',
        RULE.replace("0660", "0666"),
        "# " + RULE,
    ],
)
def test_another_rule_is_another(other: str) -> None:
    assert not same_rule(RULE, [other])


def test_programs_run_in_their_order() -> None:
    assert not same_rule('RUN+="/a", RUN+="/b"', ['RUN+="/b", RUN+="/a"'])


def test_a_comma_and_a_quote_in_a_value_are_part_of_it() -> None:
    assert same_rule('RUN+="/bin/x a, b \\" c",MODE="1"', ['MODE="1", RUN+="/bin/x a, b \\" c"'])
    assert UdevRule.parse('RUN+="/bin/x a, b \\" c",MODE="1"').sets[1][2] == '"/bin/x a, b \\" c"'


def test_one_device_with_two_values_is_a_contradiction() -> None:
    assert UdevRule.parse(RULE.replace("44", "27")).contradicts(UdevRule.parse(RULE))
    assert not UdevRule.parse('KERNEL=="nvidiactl", MODE="0666"').contradicts(UdevRule.parse(RULE))
    assert not UdevRule.parse(RULE.replace('GROUP="44", ', "")).contradicts(UdevRule.parse(RULE))
