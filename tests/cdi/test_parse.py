"""Reading a spec: the model, and every fault with its place."""

from __future__ import annotations

import time

import pytest

from talos_gpu.cdi import Hook, Library, SpecInvalid, faults, parse

GOOD = """\
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
"""
# a rule, the text, and every fault as a person reads it
BAD: dict[str, tuple[str, list[str]]] = {
    "unknown field": (
        GOOD + "foo: 1\n",
        [
            (
                "8:1: foo: unknown field 'foo', known: cdiVersion, kind, annotations, devices, containerEdits "
                "[unknown-field]"
            )
        ],
    ),
    "duplicate key": (
        GOOD + "kind: a.b/cc\n",
        ["8:1: kind: key 'kind' already set at line 2 [duplicate-key]"],
    ),
    "two faults at once": (
        GOOD.replace("/dev/nvidia0", "''").replace("nvidia.com/gpu", "gpu"),
        [
            "2:7: kind: kind 'gpu' is no <vendor>/<class> [kind]",
            "7:13: devices[0].containerEdits.deviceNodes[0].path: empty device path [device-path]",
        ],
    ),
    "wrong type": (
        GOOD + "containerEdits: [a]\n",
        ["8:17: containerEdits: a list where a mapping belongs [type]"],
    ),
    "number out of range": (
        GOOD.replace("0.5.0", "0.7.0") + "containerEdits:\n  additionalGids: [4294967296]\n",
        ["9:20: containerEdits.additionalGids[0]: 4294967296 is no integer from 0 to 4294967295 [number]"],
    ),
    "minimum version": (
        GOOD.replace("0.5.0", "0.4.0"),
        [
            (
                "4:9: devices[0].name: a device name that starts with a digit needs cdiVersion 0.5.0, "
                "the spec says 0.4.0 [minimum-version]"
            )
        ],
    ),
    "a version before the earliest": (
        GOOD.replace("0.5.0", "0.2.0").replace('"0"', "a"),
        ["1:13: cdiVersion: every spec needs cdiVersion 0.3.0, the spec says 0.2.0 [minimum-version]"],
    ),
    "no devices": (
        "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices: []\n",
        ["3:10: devices: no devices [no-devices]"],
    ),
    "a device twice": (
        GOOD + '- name: "0"\n  containerEdits: {env: [A=b]}\n',
        ["8:9: devices[1].name: multiple device '0', first as devices[0] [device-twice]"],
    ),
    "empty edits": (
        GOOD + "- name: b\n  containerEdits: {}\n",
        ["9:19: devices[1].containerEdits: empty device edits [empty-edits]"],
    ),
    "hook name and env": (
        GOOD + "containerEdits:\n  hooks:\n  - {hookName: later, path: /a, env: [A]}\n",
        [
            (
                "10:16: containerEdits.hooks[0].hookName: hook name 'later' is none of prestart, createRuntime, "
                "createContainer, startContainer, poststart, poststop [hook-name]"
            ),
            "10:39: containerEdits.hooks[0].env[0]: environment variable 'A' is no NAME=value [env]",
        ],
    ),
    "null in a list of pointers": (
        GOOD + "containerEdits:\n  mounts: [~]\n",
        [
            "9:12: containerEdits.mounts[0]: null where a mount belongs: the library dereferences it and panics [null]",
        ],
    ),
    "alias to itself": (
        GOOD + "containerEdits: &e\n  mounts: [*e]\n",
        ["9:12: anchor 'e' value contains itself [yaml-alias]"],
    ),
    "unknown alias": (
        GOOD + "containerEdits: *e\n",
        ["8:17: unknown anchor 'e' referenced [yaml-alias]"],
    ),
    "no YAML": (
        GOOD + "}\n",
        ["8:1: while parsing a block mapping did not find expected key [yaml-syntax]"],
    ),
    "control character": (
        GOOD + "# \x01\n",
        ["8:3: control characters are not allowed [yaml-syntax]"],
    ),
    "empty": ("", ["1:1: no spec in it [empty]"]),
    "nested without end": (
        "[" * 5000,
        ["1:66: nested deeper than 64 levels [too-deep]"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_every_fault_is_told_with_its_place(case: str) -> None:
    text, expected = BAD[case]
    told = [str(fault) for fault in faults(text)]
    assert told == expected


@pytest.mark.parametrize("case", BAD)
def test_every_fault_names_its_source(case: str) -> None:
    assert all(fault.source for fault in faults(BAD[case][0]))


def test_parse_raises_with_all_faults() -> None:
    with pytest.raises(SpecInvalid) as caught:
        parse(BAD["two faults at once"][0])
    assert len(caught.value.faults) == 2
    assert str(caught.value).startswith("CDI spec invalid, 2 faults:\n  2:7: kind: ")
    assert "remedy: generate it anew on the node" in str(caught.value)


def test_the_model_of_a_real_spec(real_spec: str) -> None:
    spec = parse(real_spec)
    assert (spec.cdi_version, spec.kind) == ("0.5.0", "nvidia.com/gpu")
    assert [device.name for device in spec.devices] == ["0", "GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d", "all"]
    assert [node and node.path for node in spec.devices[0].container_edits.device_nodes] == [
        "/dev/nvidia0",
        "/dev/dri/card0",
        "/dev/dri/renderD128",
    ]
    first = next(spec.hooks())
    assert first == Hook(
        hook_name="createContainer",
        path="/usr/local/bin/nvidia-cdi-hook",
        args=(
            "nvidia-cdi-hook",
            "create-symlinks",
            "--link",
            "../libnvidia-allocator.so.1::/usr/local/glibc/usr/lib/gbm/nvidia-drm_gbm.so",
        ),
        env=("NVIDIA_CTK_DEBUG=false",),
    )
    assert first.line == 12


def test_yaml_and_json_of_one_spec_are_equal(real_spec: str) -> None:
    import json

    import yaml

    assert parse(json.dumps(yaml.safe_load(real_spec))) == parse(real_spec)


def test_aliases_and_merge_keys_are_followed() -> None:
    text = GOOD + "- name: b\n  containerEdits: &e {env: &v [A=b]}\n- {name: c, containerEdits: {<<: *e}}\n"
    spec = parse(text)
    assert spec.devices[2].container_edits.env == ("A=b",)


@pytest.mark.parametrize(
    ("written", "name"), [("0", "0"), ("0x1F", "31"), ("08", "8"), ("1.10", "1.1"), ("yes", "true"), ("1_0", "10")]
)
def test_a_number_or_boolean_becomes_the_text_that_the_library_sees(written: str, name: str) -> None:
    assert parse(GOOD.replace('"0"', written)).devices[0].name == name


def test_net_devices_are_of_1_1_0() -> None:
    text = GOOD.replace("0.5.0", "1.1.0") + "containerEdits: {netDevices: [{hostInterfaceName: eno1, name: eth0}]}\n"
    assert [fault.rule for fault in faults(text)] == ["version", "unknown-field"]
    net_device = parse(text, library=Library.V1_1_0).container_edits.net_devices[0]
    assert net_device is not None
    assert net_device.host_interface_name == "eno1"


def test_what_1_1_0_has_dropped_is_unknown_to_it() -> None:
    text = GOOD.replace("0.5.0", "0.7.0") + "containerEdits: {intelRdt: {enableCMT: true}}\n"
    assert faults(text) == []
    assert [str(fault) for fault in faults(text, library=Library.V1_1_0)] == [
        (
            "8:29: containerEdits.intelRdt.enableCMT: unknown field 'enableCMT', known: closID, l3CacheSchema, "
            "memBwSchema, schemata, enableMonitoring [unknown-field]"
        )
    ]


def test_the_second_document_is_not_looked_at() -> None:
    assert parse(GOOD + "---\n}{\n") == parse(GOOD)


def test_a_spec_of_a_megabyte_takes_seconds_not_minutes() -> None:
    mount = "  - {hostPath: /aaaaaaaaaaaaaaaaaaaaaaaaaaaa, containerPath: /b}\n"
    text = GOOD + "containerEdits:\n  mounts:\n" + mount * (1_000_000 // len(mount))
    before = time.monotonic()
    assert not faults(text)
    assert time.monotonic() - before < 10
