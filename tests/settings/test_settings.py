"""Settings: every fault at once, in words that a person can act on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talos_gpu.errors import UsageError
from talos_gpu.settings import SettingsInvalid, load, parse
from talos_gpu.settings.stack_file import stack_files, stack_settings
from talos_gpu.talos.releases import RELEASES

PROJECT = Path(__file__).parents[2]
GPU = {"model": "Quadro P2000", "driver": "535.247.01", "memory_mib": 5120}
NODE = {"name": "talos05", "address": "192.168.1.194", "talos": "v1.11.1", "gpu": GPU}
MACHINE = {"base": "worker.yaml"}
TDARR = {"image": "a/b:1", "server_url": "http://tdarr:8266"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["node", "machine", "cdi", "tdarr", "talosconfig", "kubeconfig", "nodes"])


def valid(**parts: Any) -> dict[str, Any]:
    return {"node": NODE, "machine": MACHINE, **parts}


def faults(values: dict[str, Any], *secret: str) -> list[str]:
    with pytest.raises(SettingsInvalid) as raised:
        parse(values, secret)
    return [str(fault) for fault in raised.value.faults]


def volume(**source: Any) -> dict[str, Any]:
    return {"name": "media", "path": "/media", **source}


@pytest.mark.parametrize("stack", ["talos05", "lab"])
def test_the_stacks_in_the_project_are_valid(stack: str) -> None:
    settings = stack_settings(PROJECT / f"Pulumi.{stack}.yaml")
    assert (settings.node.talos, settings.node.gpu.model, settings.node.gpu.driver) == (
        "v1.11.1",
        "Quadro P2000",
        "535.247.01",
    )


def test_values_may_be_json_text() -> None:
    assert parse({key: json.dumps(value) for key, value in valid().items()}) == parse(valid())


def test_all_faults_are_told_at_once() -> None:
    values = {
        "node": {**NODE, "address": "192.168.1.300", "talos": "1.11", "adress": "x"},
        "machine": {"base": "a", "reboot": "alow", "ready_timeout_s": 5},
        "tdar": {},
    }
    with pytest.raises(SettingsInvalid) as raised:
        parse(values)
    assert (
        str(raised.value)
        == """\
the stack's settings have 6 faults:
  tdar: is not a key of this project
    remedy: did you mean 'tdarr'?
  node.address: '192.168.1.300' is not an IP address
    remedy: write an IPv4 or IPv6 address, such as 192.168.1.194
  node.talos: '1.11' is not a Talos version
    remedy: write it with the v, such as v1.11.1
  node.adress: is not a known key
    remedy: did you mean 'address'?
  machine.reboot: 'alow' is none of allow, forbid
    remedy: did you mean 'allow'?
  machine.ready_timeout_s: 5 should be greater than or equal to 10"""
    )


def test_what_is_right_by_itself_is_judged_with_the_rest(tmp_path: Path) -> None:
    volumes = [
        volume(host_path={"path": "/x"}),
        {"name": "Temp", "path": "/temp", "empty_dir": {}},
        {"name": "again", "path": "/media", "empty_dir": {}},
    ]
    values = valid(
        node={**NODE, "address": "talos05", "talos": "v1.20.0"},
        machine={"base": str(tmp_path / "none.yaml"), "reboot": "alow"},
        cdi={"method": "native", "hook": "real", "image": "debian"},
        tdarr={**TDARR, "image": "debian", "volumes": volumes},
    )
    with pytest.raises(SettingsInvalid) as raised:
        load(values)
    assert [fault.path for fault in raised.value.faults] == [
        "node.address",
        "machine.reboot",
        "cdi.image",
        "tdarr.image",
        "tdarr.volumes[1].name",
        "node.talos",
        "cdi.hook",
        "tdarr.volumes[2].path",
        "tdarr.volumes[0].host_path",
        "machine.base",
    ]


def test_what_hangs_on_a_wrong_value_is_not_judged() -> None:
    namespace = {"name": "media", "pod_security": "priviledged"}
    values = valid(
        node={**NODE, "talos": "v1.20.0", "treat_as": "1.11"},
        cdi={"method": "jitt", "hook": "real"},
        tdarr={**TDARR, "namespace": namespace, "volumes": [volume(host_path={"path": "/x"})]},
    )
    told = [fault.partition(":")[0] for fault in faults(values)]
    assert told == ["node.treat_as", "cdi.method", "tdarr.namespace.pod_security"]


def test_a_resource_that_kubernetes_does_not_know_is_named() -> None:
    def told(name: str) -> list[str]:
        return faults(valid(tdarr={**TDARR, "resources": {"limits": {name: "5Gi"}}}))

    known = "known: cpu, memory, ephemeral-storage, hugepages-SIZE, and others with their domain: nvidia.com/gpu"
    rule = "is not a resource's name\n    remedy:"
    assert told("memroy") == [f"tdarr.resources.limits.memroy: {rule} did you mean 'memory'? {known}"]
    assert told("disk") == [f"tdarr.resources.limits.disk: {rule} {known}"]
    limits = dict.fromkeys(("cpu", "memory", "ephemeral-storage", "hugepages-1Gi", "nvidia.com/gpu"), "1")
    parse(valid(tdarr={**TDARR, "resources": {"limits": limits, "requests": limits}}))


def test_what_is_missing_is_named() -> None:
    assert faults({}) == [
        "node: is missing\n    remedy: set talos-nvidia-cdi:node in the stack's file",
        "machine: is missing\n    remedy: set talos-nvidia-cdi:machine in the stack's file",
    ]


def test_a_secret_value_is_not_shown() -> None:
    told = faults(valid(machine={"base": "x", "reboot": "hunter2"}), "machine")
    assert told == ["machine.reboot: [secret] is none of allow, forbid"]


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("node.name", "Talos05", "is not an RFC 1123 subdomain"),
        ("node.name", "a" * 64, "is longer than 63 characters"),
        ("node.address", "talos05", "is not an IP address"),
        ("node.endpoint", "host:70000", "is not HOST or HOST:PORT"),
        ("node.gpu.driver", "535", "is not an NVIDIA driver version"),
        ("node.gpu.memory_mib", 0, "should be greater than 0"),
        ("node.gpu.memory_mib", "5120", "is not a whole number"),
        ("node.talos", "v1.15.0", "cannot be handled: "),
        ("node.talos", "v1.6.9", "cannot be handled: "),
        ("machine.ready_timeout_s", 7201, "should be less than or equal to 7200"),
        ("cdi.image", "debian", "has neither tag nor digest"),
        ("cdi.image", "Debian:12", "is not an image reference"),
        ("cdi.method", "native", "does not fit: "),
        ("cdi.generator_flags[0]", "--mode=nvml; reboot", "is not a flag"),
        ("cdi.generator_flags[0]", "--output=/x", "is a flag that this program sets: --output"),
        ("cdi.generator_deadline_s", 9, "should be greater than or equal to 10"),
        ("tdarr.server_url", "tdarr:8266", "is not an http or https URL"),
        ("tdarr.ffmpeg_version", 6, "is not text (quote it in YAML)"),
        ("tdarr.namespace.name", "kube system", "is not an RFC 1123 label"),
        ("tdarr.resources.limits.memory", "5 GB", "is not a Kubernetes quantity"),
        ("tdarr.supplemental_groups[0]", -1, "should be greater than or equal to 0"),
        ("tdarr.volumes[0]", volume(), "needs exactly one of pvc, nfs, empty_dir and host_path, has none"),
        ("tdarr.volumes[0].path", volume(path="media", empty_dir={}), "is not an absolute path in plain form"),
        ("tdarr.volumes[0].host_path", volume(host_path={"path": "/x"}), "is a hostPath, which PodSecurity level "),
    ],
)
def test_each_rule_says_where_and_why(path: str, value: Any, rule: str) -> None:
    values: dict[str, Any] = json.loads(json.dumps(valid(tdarr=TDARR, cdi={})))
    keys = path.partition("[")[0].split(".")
    place = values
    for key in keys[:-1]:
        place = place.setdefault(key, {})
    place[keys[-1]] = [value] if "[" in path else value
    [told] = faults(values)
    assert told.startswith(f"{path}:")
    assert f" {rule}" in told


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("node", "name", "a" * 63),
        ("node", "address", "fd00::1"),
        ("node", "endpoint", "[fd00::1]:50000"),
        ("node", "talos", "v1.7.0"),
        ("node", "talos", "v1.12.9"),
        ("machine", "ready_timeout_s", 10),
        ("machine", "ready_timeout_s", 7200),
        ("cdi", "generator_deadline_s", 3600),
        ("cdi", "image", f"r.example:5000/a/b@sha256:{'0' * 64}"),
        ("tdarr", "resources", {"limits": {"memory": "1.5Gi", "cpu": "250m"}}),
        ("tdarr", "volumes", [volume(nfs={"server": "nas", "path": "/x"})]),
    ],
)
def test_values_at_the_borders_are_taken(part: str, key: str, value: Any) -> None:
    start: dict[str, Any] = valid(cdi={}, tdarr=TDARR)
    parse({**start, part: {**start[part], key: value}})


def test_the_flags_that_a_release_may_need_are_taken_and_named_on_the_page() -> None:
    page = (PROJECT / "docs/settings.md").read_text()
    for facts in RELEASES:
        flags = facts.generator_fallback
        assert parse(valid(cdi={"generator_flags": list(flags)})).cdi.generator_flags == flags
        assert all(f"`{flag}`" in page for flag in flags)


def test_flags_of_the_generator_have_no_meaning_without_one() -> None:
    told = faults(valid(cdi={"method": "jit", "generator_flags": ["--mode=nvml"]}))
    assert [line.partition(":")[0] for line in told] == ["cdi.generator_flags"]


def test_a_host_path_is_taken_where_pod_security_allows_it() -> None:
    namespace = {"name": "media", "pod_security": "privileged"}
    parse(valid(tdarr={**TDARR, "namespace": namespace, "volumes": [volume(host_path={"path": "/x"})]}))


def test_a_base_that_is_no_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"machine\.base: .* is not a file\n    remedy: save the node's"):
        load(valid(machine={"base": str(tmp_path / "none.yaml")}))


def test_stack_files(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.one.yaml").write_text("config: {}\n")
    (tmp_path / "Pulumi.yaml").write_text("name: x\n")
    assert list(stack_files(tmp_path)) == ["one"]
    with pytest.raises(UsageError, match=r"there is no stack file .*two\.yaml\n  remedy: stacks there: one"):
        stack_settings(tmp_path / "Pulumi.two.yaml")
    (tmp_path / "Pulumi.one.yaml").write_text("- 1\n")
    with pytest.raises(UsageError, match=r"has no config\n  remedy: see docs/settings.md"):
        stack_settings(tmp_path / "Pulumi.one.yaml")


@given(st.dictionaries(KEYS, JSON | JSON.map(json.dumps), max_size=4))
def test_nothing_but_settings_invalid_is_raised(values: dict[str, Any]) -> None:
    try:
        parse(values)
    except SettingsInvalid as error:
        assert error.faults


@given(st.sampled_from(["name", "address", "endpoint", "talos", "treat_as", "gpu"]), JSON)
def test_no_value_of_a_node_breaks_the_rules(key: str, value: Any) -> None:
    try:
        parse(valid(node={**NODE, key: value}))
    except SettingsInvalid as error:
        assert error.faults


def test_verification_is_wanted_only_where_there_is_a_worker_to_verify_in() -> None:
    [fault] = faults(valid(verify=True))
    assert fault.startswith("verify: true needs a worker to prove the GPU in, and there is no tdarr\n    remedy: ")
    assert parse(valid(verify=True, tdarr=TDARR)).verify
    assert parse(valid(verify="true", tdarr=TDARR)).verify
    assert not parse(valid()).verify


def test_the_encode_floor_is_a_number_of_the_gpu() -> None:
    def floor(value: Any) -> dict[str, Any]:
        return valid(node={**NODE, "gpu": {**GPU, "encode_floor": value}})

    assert parse(valid()).node.gpu.encode_floor == 1.0
    assert parse(floor(4)).node.gpu.encode_floor == 4.0
    assert len(faults(floor(-1))) == len(faults(floor("4"))) == 1


def test_the_price_of_the_sysctl_is_told_and_of_no_other_method() -> None:
    [told] = parse(valid(cdi={"method": "sysctl"})).warnings
    assert told == (
        "cdi.method: sysctl sets net.core.bpf_jit_harden to 1 for the whole node, where Talos has 2: BPF programs of "
        "privileged users are no longer hardened against JIT spraying; methods spec and jit-cdi leave it at 2"
    )
    assert parse(valid(cdi={"method": "jit-cdi"})).warnings == []
