"""The whole program on a mock engine: order, options, secrets, pods, outputs."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pulumi.output import Unknown

from components.access import Access
from talos_gpu.settings import SettingsInvalid
from talos_gpu.talos.part import PART_PATH
from tests.components.conftest import BASE, Stack
from tests.components.engine import OUTPUTS, Run, run_program, stack_config
from tests.talos.configs import SEED, merged
from tests.talos.pki import Authority, elsewhere, talosconfig

Runs = Callable[..., Run]
CHAIN = [
    "MachineState",
    "ConfigurationApply",
    "MachineReady",
    "Source",
    "Job",
    "Spec",
    "ConfigMap",
    "DaemonSet",
    "Deployment",
]
PRIVILEGED = ["Job", "DaemonSet"]
PINNED = ["Job", "DaemonSet", "Deployment"]


def pod(run: Run, kind: str) -> dict[str, Any]:
    spec: dict[str, Any] = run.one(kind).inputs["spec"]["template"]["spec"]
    return spec


def notes(run: Run, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = run.one(kind).inputs["spec"]["template"]["metadata"]["annotations"]
    return found


def environment(run: Run) -> dict[str, str]:
    [container] = pod(run, "Deployment")["containers"]
    return {item["name"]: item["value"] for item in container["env"]}


@pytest.mark.parametrize("preview", [False, True])
@pytest.mark.parametrize("stack_name", ["talos05", "lab"])
def test_each_step_waits_for_the_one_before(run: Runs, stack_name: str, preview: bool) -> None:
    found = run(stack_name, preview=preview)
    assert [kind for kind in found.kinds() if kind in CHAIN] == CHAIN
    for before, after in itertools.pairwise(CHAIN):
        assert found.one(before).urn in found.one(after).request.dependencies, (before, after)


def test_children_belong_to_their_components(run: Runs) -> None:
    found = run()
    parents = {kind: found.one(kind).parent for kind in [*CHAIN, "RuntimeClass"]}
    assert parents == {
        "MachineState": "talos05-machine",
        "ConfigurationApply": "talos05-machine",
        "MachineReady": "talos05-machine",
        "Source": "talos05",
        "Job": "talos05-cdi-generator",
        "Spec": "talos05",
        "ConfigMap": "talos05-cdi-init",
        "DaemonSet": "talos05-cdi-init",
        "Deployment": "talos05-tdarr",
        "RuntimeClass": "talos05-runtime-class",
    }


def test_providers_and_options(run: Runs) -> None:
    found = run("lab")

    def provider(kind: str) -> str:
        return str(found.one(kind).request.provider.split("::")[-2])

    assert {provider(kind) for kind in ("Job", "ConfigMap", "DaemonSet", "Deployment")} == {"lab-1-kubernetes"}
    assert {provider(kind) for kind in ("RuntimeClass", "Namespace")} == {"lab-1-kubernetes-shared"}
    assert provider("ConfigurationApply") == "lab-1-talos"
    kept = [item.kind for item in found.resources if item.request.retainOnDelete]
    assert sorted(kept) == ["Namespace", "RuntimeClass"]
    assert found.one("Job").request.deleteBeforeReplace
    assert not found.one("ConfigMap").request.deleteBeforeReplace
    assert found.one("ConfigMap").inputs["immutable"] is True
    assert found.one("Job").request.customTimeouts.create == "150s"
    assert found.one("DaemonSet").request.customTimeouts.update == "5m"
    assert found.one("Deployment").request.customTimeouts.create == "15m"
    assert found.one("ConfigurationApply").request.replacement_trigger.string_value == "machine-token"


def test_only_what_touches_the_config_is_secret(run: Runs) -> None:
    secret = {item.kind: set(item.secrets) for item in run().resources if item.secrets}
    assert secret == {"ConfigurationApply": {"clientConfigurationWo", "machineConfigurationInput"}}


def test_no_credential_and_no_machine_config_is_an_input_elsewhere(stack: Stack) -> None:
    key = base64.b64encode(stack.client.key).decode()
    found = stack.run(kubeconfig="/some/path")
    canaries = (key, "canary-machine-token", "PRIVATE KEY")
    telling = {item.kind for item in found.resources for canary in canaries if canary in str(item.request)}
    assert telling == {"ConfigurationApply"}
    assert not [canary for canary in canaries if canary in str(found.exports)]
    assert {item.inputs["kubeconfig"] for item in found.resources if item.kind == "kubernetes"} == {"/some/path"}


@pytest.mark.parametrize("output", ["token", "driver", "toolkit"])
def test_the_sources_facts_replace_the_job(stack: Stack, output: str) -> None:
    source = "pulumi-python:dynamic/cdi:Source"
    changed = {**OUTPUTS, source: {**OUTPUTS[source], output: "moved"}}
    files = {"machine": {"base": str(stack.base)}, "talosconfig": str(stack.talosconfig)}
    before, after = stack.run(), run_program(stack_config("talos05", files), answers=changed)
    assert notes(after, "Job") == {**notes(before, "Job"), f"talos-nvidia-cdi/{output}": "moved"}
    for kind in ("DaemonSet", "Deployment"):
        assert after.one(kind).inputs == before.one(kind).inputs


def test_a_new_spec_restarts_installer_and_worker_and_not_the_generator(stack: Stack) -> None:
    spec = "pulumi-python:dynamic/cdi:Spec"
    changed = {**OUTPUTS, spec: {**OUTPUTS[spec], "sha256": "7" * 64, "text": "other"}}
    files = {"machine": {"base": str(stack.base)}, "talosconfig": str(stack.talosconfig)}
    before, after = stack.run(), run_program(stack_config("talos05", files), answers=changed)
    for kind in ("DaemonSet", "Deployment"):
        assert notes(after, kind)["talos-nvidia-cdi/spec-sha256"] == "7" * 64
    assert after.one("ConfigMap").inputs["metadata"]["name"] != before.one("ConfigMap").inputs["metadata"]["name"]
    assert after.one("Job").inputs == before.one("Job").inputs


@pytest.mark.parametrize("kind", PINNED)
def test_pods_are_pinned_to_the_node(run: Runs, kind: str) -> None:
    spec = pod(run(), kind)
    assert spec["nodeSelector"] == {
        "kubernetes.io/hostname": "talos05",
        "node.kubernetes.io/gpu-vendor": "nvidia",
    }
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    assert spec["automountServiceAccountToken"] is False


@pytest.mark.parametrize("kind", PRIVILEGED)
def test_what_works_on_the_host_is_privileged_in_kube_system(run: Runs, kind: str) -> None:
    found = run()
    spec = pod(found, kind)
    assert spec["hostPID"] is True
    assert spec["containers"][0]["securityContext"] == {"privileged": True}
    assert found.one(kind).inputs["metadata"]["namespace"] == "kube-system"


def test_the_generator_executes_nvidia_ctk_itself_and_stays(run: Runs) -> None:
    found = run()
    spec = found.one("Job").inputs["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (0, 120)
    assert "ttlSecondsAfterFinished" not in spec
    assert " ".join(pod(found, "Job")["containers"][0]["command"]) == (
        "nsenter --target 1 --mount -- /usr/local/bin/nvidia-ctk cdi generate --output=/var/cdi/nvidia.yaml"
    )


def test_the_worker_is_the_seeds(run: Runs) -> None:
    found = run()
    spec = pod(found, "Deployment")
    assert found.one("Deployment").inputs["spec"]["strategy"] == {"type": "Recreate"}
    assert (spec["runtimeClassName"], spec["securityContext"]) == ("nvidia-cdi", {"supplementalGroups": [44]})
    assert "hostPID" not in spec
    assert "securityContext" not in spec["containers"][0]
    assert environment(found) == {
        "serverURL": "http://tdarr-server.media.svc.cluster.local:8266",
        "nodeName": "tdarr-node-gpu-talos05",
        "inContainer": "true",
        "ffmpegVersion": "6",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "NVIDIA_DRIVER_CAPABILITIES": "compute,video,utility",
    }


def test_volumes_of_all_four_kinds(run: Runs) -> None:
    volumes = [
        {"name": "configs", "path": "/app/configs", "pvc": {"claim": "configs", "size": "1Gi"}},
        {"name": "media", "path": "/media", "read_only": True, "nfs": {"server": "nas", "path": "/export"}},
        {"name": "temp", "path": "/temp", "empty_dir": {"size_limit": "10Gi", "medium": "Memory"}},
        {"name": "cache", "path": "/cache", "host_path": {"path": "/var/cache"}},
    ]
    namespace = {"name": "media", "create": True, "pod_security": "privileged"}
    found = run(tdarr={"volumes": volumes, "namespace": namespace})
    assert pod(found, "Deployment")["volumes"] == [
        {"name": "configs", "persistentVolumeClaim": {"claimName": "configs", "readOnly": False}},
        {"name": "media", "nfs": {"server": "nas", "path": "/export", "readOnly": True}},
        {"name": "temp", "emptyDir": {"medium": "Memory", "sizeLimit": "10Gi"}},
        {"name": "cache", "hostPath": {"path": "/var/cache"}},
    ]
    labels = found.one("Namespace").inputs["metadata"]["labels"]
    assert labels == {"pod-security.kubernetes.io/enforce": "privileged"}
    claim = found.one("PersistentVolumeClaim")
    assert claim.request.retainOnDelete
    assert {claim.urn, found.one("Namespace").urn} <= set(found.one("Deployment").request.dependencies)


@pytest.mark.parametrize(
    ("cdi", "devices", "runtime_class"),
    [
        ({"method": "jit"}, "runtime.nvidia.com/gpu=all", "nvidia"),
        ({"method": "jit-cdi"}, "runtime.nvidia.com/gpu=all", "nvidia"),
        ({"method": "sysctl"}, "all", "nvidia"),
    ],
)
def test_other_methods_make_no_spec(run: Runs, cdi: dict[str, str], devices: str, runtime_class: str) -> None:
    found = run(cdi=cdi)
    assert not {"Source", "Job", "Spec", "ConfigMap", "DaemonSet"} & set(found.kinds())
    assert environment(found)["NVIDIA_VISIBLE_DEVICES"] == devices
    assert pod(found, "Deployment")["runtimeClassName"] == runtime_class
    assert found.one("MachineReady").urn in found.one("Deployment").request.dependencies
    assert "installer" not in found.exports["verify"]


@pytest.mark.parametrize("kind", ["MachineState", "MachineReady", "MachineRestarted"])
def test_whoever_restarts_the_node_knows_what_the_stack_allows(run: Runs, kind: str) -> None:
    hours = {"opens": "22:00", "closes": "04:00"}
    inputs = run(machine={"reboot": "forbid", "windows": [hours]}).one(kind).inputs
    assert (inputs["reboot_policy"], inputs["windows"][0]["opens"]) == ("forbid", "22:00")


@pytest.mark.parametrize(("adopt", "adopts"), [(True, "media/tdarr-node-gpu-talos05"), (False, "")])
def test_a_restart_asks_the_worker_that_is_taken_over(run: Runs, adopt: bool, adopts: str) -> None:
    found = run(adopt=adopt)
    assert found.one("MachineReady").inputs["adopts"] == found.one("MachineRestarted").inputs["adopts"] == adopts
    assert "adopts" not in found.one("MachineState").inputs


def test_native_on_a_release_that_makes_its_own_spec(run: Runs) -> None:
    found = run(node={"talos": "v1.13.0"}, cdi={"method": "native"})
    assert "Job" not in found.kinds()
    assert found.one("RuntimeClass").inputs["handler"] == "nvidia"


def test_flags_of_the_stack_end_the_generators_command(run: Runs) -> None:
    flags = ["--mode=nvml", "--library-search-path=/usr/local/glibc/usr/lib"]
    found = run(cdi={"generator_flags": flags, "regenerate": "boot"})
    assert pod(found, "Job")["containers"][0]["command"][-2:] == flags
    given = {item["name"]: item["value"] for item in pod(found, "DaemonSet")["containers"][0]["env"]}
    assert given["GENERATE_FLAGS"] == " ".join(flags)
    plain = {item["name"] for item in pod(run(), "DaemonSet")["containers"][0]["env"]}
    assert "GENERATE_FLAGS" not in plain


def test_a_release_that_is_known_from_sources_alone_is_said_to_be(run: Runs) -> None:
    found = run(node={"talos": "v1.14.0"}, cdi={"method": "native"})
    assert any("Talos 1.14: read from its sources, not proven in the project's lab" in said for said in found.log)
    assert not any("not proven" in said for said in run().log)


def test_the_hook_by_nvidia_ctk_is_a_flag_of_the_generator(run: Runs) -> None:
    found = run(cdi={"hook": "nvidia-ctk"})
    assert pod(found, "Job")["containers"][0]["command"][-1] == "--nvidia-cdi-hook-path=/usr/local/bin/nvidia-ctk"
    assert notes(found, "Job")["talos-nvidia-cdi/strategy"] == "nvidia-ctk"


def test_the_default_runtime_needs_no_runtime_class(run: Runs) -> None:
    found = run(cdi={"runtime": "default"})
    assert "RuntimeClass" not in found.kinds()
    assert "runtimeClassName" not in pod(found, "Deployment")
    assert found.one("MachineState").inputs["default_runtime"] is True


def test_shared_objects_are_made_by_their_owner_only(run: Runs) -> None:
    found = run(cdi={"runtime_class_owner": False})
    assert not {"RuntimeClass", "Namespace"} & set(found.kinds())
    assert pod(found, "Deployment")["runtimeClassName"] == "nvidia-cdi"


def test_without_a_worker_only_the_gpu_is_set_up(run: Runs) -> None:
    found = run(tdarr=None)
    assert "Deployment" not in found.kinds()
    assert "DaemonSet" in found.kinds()
    assert "h264" not in found.exports["verify"]


def test_the_worker_is_waited_for_right_before_its_pod_is_replaced(run: Runs) -> None:
    found = run()
    waiting = found.one("WorkerRestart")
    assert found.one("DaemonSet").urn in waiting.request.dependencies
    assert waiting.urn in found.one("Deployment").request.dependencies
    parts = waiting.inputs["template"]
    assert parts["tdarr.image"] == pod(found, "Deployment")["containers"][0]["image"]
    assert parts["cdi.runtime"] == "nvidia-cdi"
    assert parts["environment NVIDIA_VISIBLE_DEVICES"] == "all"
    assert "WorkerRestart" not in run(tdarr=None).kinds()


def test_adoption_takes_over_before_the_worker_and_retires_after_the_installer(run: Runs) -> None:
    found = run(adopt=True)
    assert found.one("DaemonSet").urn in found.one("Retired").request.dependencies
    assert found.one("TakenOver").urn in found.one("Deployment").request.dependencies
    assert (
        found.one("TakenOver").inputs["selector"] == found.one("Deployment").inputs["spec"]["selector"]["matchLabels"]
    )
    assert found.one("Deployment").inputs["metadata"]["annotations"] == {
        "pulumi.com/patchFieldManager": "talos-nvidia-cdi",
        "pulumi.com/patchForce": "true",
    }
    assert not {"TakenOver", "Retired"} & set(run().kinds())


def test_outputs_that_a_person_wants(run: Runs) -> None:
    exports = run().exports
    assert {key: value for key, value in exports.items() if key != "verify"} == {
        "node": "talos05",
        "gpu": {"model": "Quadro P2000", "memory_mib": 5120},
        "facts": {"driver": "535.247.01", "talos": "v1.11.1"},
        "boot_id": "boot-2",
        "reboot_pending": False,
        "driver": "535.247.01",
        "devices": ["0", "all"],
        "hooks": ["/usr/local/bin/nvidia-cdi-hook.real"],
        "spec_sha256": "5" * 64,
    }
    assert exports["verify"]["gpu_expected"] == "Quadro P2000, 535.247.01, 5120 MiB"
    assert exports["verify"]["spec"] == "talosctl -n 192.168.1.194 read /var/run/cdi/nvidia.yaml"


def test_a_preview_knows_what_does_not_come_from_the_node(run: Runs) -> None:
    found = run(preview=True)
    assert isinstance(found.exports["spec_sha256"], Unknown)
    assert found.exports["node"] == "talos05"
    assert isinstance(notes(found, "Job")["talos-nvidia-cdi/token"], Unknown)
    assert pod(found, "Job")["nodeSelector"]["kubernetes.io/hostname"] == "talos05"


def test_images_without_digest_are_told(run: Runs) -> None:
    assert [line for line in run().log if line.startswith("warning")] == [
        f"warning: {key}: {image} is not pinned by digest: `talos-gpu images pin` resolves it"
        for key, image in (
            ("cdi.image", "docker.io/library/debian:12-slim"),
            ("tdarr.image", "ghcr.io/haveagitgat/tdarr_node:2.73.01"),
        )
    ]


def test_what_of_the_base_should_go_is_told(stack: Stack) -> None:
    stack.base.write_text(merged(BASE, SEED))
    told = [line for line in stack.run(cdi={"method": "jit-cdi"}).log if PART_PATH in line]
    assert len(told) == 1
    assert told[0].startswith(f"warning: {PART_PATH} of the base has what this method does not use: the runtime")


def test_the_named_context_applies_the_config(stack: Stack) -> None:
    stack.talosconfig.write_text(elsewhere(stack.talosconfig.read_text()))
    given = stack.run(talos_context="lab").one("ConfigurationApply").inputs["clientConfigurationWo"]
    assert base64.b64encode(stack.client.key).decode() in str(given)


def test_a_providers_access_has_the_named_context(stack: Stack) -> None:
    stack.talosconfig.write_text(elsewhere(stack.talosconfig.read_text()))
    config = {"talos-nvidia-cdi:talosconfig": str(stack.talosconfig), "talos-nvidia-cdi:talos_context": "lab"}
    assert Access.of(config.get).credentials().context == "lab"


def test_a_client_certificate_near_its_end_is_told(stack: Stack) -> None:
    authority = Authority()
    pair = authority.client("os:admin", end=timedelta(days=5))
    stack.talosconfig.write_text(talosconfig(authority, pair))
    [told] = [line for line in stack.run().log if "certificate" in line]
    assert told.startswith("warning: the client certificate of talosconfig context 'lab' expires on ")


def test_a_users_fault_ends_the_run_before_anything_is_declared(stack: Stack) -> None:
    with pytest.raises(Exception, match=r"node\.address: 'x' is not an IP address") as raised:
        stack.run(node={"address": "x"})
    assert type(raised.value).__name__ == "RunError"
    assert not isinstance(raised.value, SettingsInvalid)
