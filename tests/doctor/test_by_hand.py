"""Folders made by hand: each kind of evidence that docs/troubleshooting.md names is enough, by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from talos_gpu.cdi import Strategy, patch
from talos_gpu.doctor.bundle import load
from talos_gpu.doctor.diagnose import diagnose
from talos_gpu.doctor.errors import BundleInvalid
from talos_gpu.doctor.finding import Diagnosis
from tests.doctor.bundles import P2000, PART_TEXT, Box, broken
from tests.doctor.fault import UNRESOLVABLE, WRAPPER, create_fails

ROOT = Path(__file__).parents[2]
NODE = {
    "kind": "Node",
    "metadata": {"name": "talos05", "labels": {"node.kubernetes.io/gpu-vendor": "nvidia"}},
    "status": {"nodeInfo": {"osImage": "Talos (v1.11.1)"}, "conditions": [{"type": "Ready", "status": "True"}]},
}
NATIVE = {**NODE, "status": {**NODE["status"], "nodeInfo": {"osImage": "Talos (v1.13.2)"}}}  # type: ignore[dict-item]
CONTROL_PLANE = {"kind": "Node", "metadata": {"name": "cp"}, "status": NODE["status"]}


def objects(plural: str, message: str = UNRESOLVABLE) -> list[dict[str, Any]]:
    """Pods or events of a worker that does not start."""

    def fails(box: Box) -> None:
        create_fails(box, message)

    kind = plural.removesuffix("s").capitalize()
    items = json.loads(broken(fails).texts[f"cluster/{plural}.json"])["items"]
    return [{"apiVersion": "v1", "kind": kind, **item} for item in items]


def listed(items: list[dict[str, Any]]) -> str:
    return yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items})


def without_kind(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in item.items() if key != "kind"} for item in items]


def of(folder: Path, files: Mapping[str, str]) -> Diagnosis:
    for name, text in files.items():
        (folder / name).write_text(text)
    return diagnose(load(folder))


ALONE = {
    "spec-invalid": {"nvidia.yaml": "foo: 1\n" + P2000},
    "spec-unpatched": {"nvidia.yaml": P2000},
    "spec-unpatched of a known release": {"nvidia.yaml": P2000, "nodes.yaml": listed([CONTROL_PLANE, NODE])},
    "spec-unpatched with the event that it brings about": {
        "nvidia.yaml": P2000,
        "events.yaml": listed(objects("events", WRAPPER)),
    },
    "part-invalid": {"20-customization.part": "[plugins"},
    "cdi-disabled": {
        "config.toml": PART_TEXT.replace("cdi_spec_dirs", "enable_cdi = false\n  cdi_spec_dirs"),
        "nvidia.yaml": patch(P2000, Strategy.REAL).text,
        "nodes.json": json.dumps(NODE),
    },
    "gpu-lost": {"dmesg.txt": "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.\n"},
    "pod-fails of pods": {"pods.yaml": listed(objects("pods"))},
    "pod-fails of one pod": {"pod.yaml": yaml.safe_dump(objects("pods")[0])},
    "pod-fails of several documents": {"all.yaml": yaml.safe_dump_all([NODE, *objects("pods")])},
    "pod-fails of a PodList": {
        "pods.json": json.dumps({"kind": "PodList", "apiVersion": "v1", "items": without_kind(objects("pods"))})
    },
    "pod-fails of events": {"events.yaml": listed(objects("events"))},
    "pod-fails of a description": {"describe.txt": f"Warning  Failed  2m  kubelet  {UNRESOLVABLE}\n"},
    "pod-fails of a log": {"worker.log": "[hevc_nvenc @ 0x55d9] Cannot load libcuda.so.1\n"},
    "label-missing": {"nodes.yaml": listed([{**NODE, "metadata": {"name": "talos05"}}])},
}


@pytest.mark.parametrize("what", ALONE)
def test_each_kind_of_evidence_is_enough_by_itself(tmp_path: Path, what: str) -> None:
    diagnosis = of(tmp_path, ALONE[what])
    assert {one.check for one in diagnosis.roots} == {what.split(maxsplit=1)[0]}
    assert diagnosis.exit_code == 1


def test_the_cause_is_the_one_that_the_words_tell(tmp_path: Path) -> None:
    [found] = of(tmp_path, ALONE["pod-fails of a description"]).roots
    assert found.evidence == "describe.txt: unresolvable CDI devices nvidia.com/gpu=all"
    assert found.cause.startswith("No CDI spec that containerd or the NVIDIA runtime reads provides this device")


def test_of_a_release_with_its_own_spec_the_hook_is_right(tmp_path: Path) -> None:
    assert "spec-unpatched" not in {
        one.check for one in of(tmp_path, {"nvidia.yaml": P2000, "n.yaml": yaml.safe_dump(NATIVE)}).findings
    }


def test_a_spec_whose_release_nobody_says_is_called_unpatched_with_that_word(tmp_path: Path) -> None:
    [found] = of(tmp_path, ALONE["spec-unpatched"]).roots
    assert "the evidence does not say of which Talos release" in found.evidence
    assert "From 1.13 it is right" in found.cause


def test_what_tells_nothing_is_not_called_right(tmp_path: Path) -> None:
    diagnosis = of(tmp_path, {"notes.txt": "the flux capacitor is not charged\n"})
    assert (diagnosis.findings, diagnosis.exit_code) == ((), 2)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"dmesg": "NVRM", "unread.json": "{bad"}, "unread.json is no JSON: "),
        ({"dmesg": "NVRM", "unread.json": "[]"}, "unread.json is list, not an object of reasons by key"),
        ({"x.yaml": "kind: 5\nfoo: 1\n"}, "nothing in it is known evidence"),
        ({"x.yaml": "kind: PodList\nitems: 5\n"}, "nothing in it is known evidence"),
    ],
)
def test_a_folder_of_another_form_is_refused_in_one_sentence(tmp_path: Path, files: dict[str, str], says: str) -> None:
    with pytest.raises(BundleInvalid) as caught:
        of(tmp_path, files)
    assert says in str(caught.value)


def doctor(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "talos_gpu", "doctor", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_saved_evidence_is_asked_about_an_upgrade(tmp_path: Path) -> None:
    (tmp_path / "nvidia.yaml").write_text(patch(P2000, Strategy.REAL).text)
    (tmp_path / "node.json").write_text(json.dumps(NODE))
    done = doctor("--from", str(tmp_path), "--upgrade-to", "v1.13.0", "--json")
    assert [one["check"] for one in json.loads(done.stdout)["findings"]] == ["upgrade-breaks-spec"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--upgrade-to", "garbage"), "--upgrade-to 'garbage' is no Talos release"),
        (("--upgrade-to", "1.13"), "write it with the v: v1.13.0"),
        (("--local", "--upgrade-to", "v1.13.0"), "--upgrade-to is for Talos nodes, --local is not"),
    ],
)
def test_an_upgrade_that_cannot_be_asked_about_is_refused(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    (tmp_path / "nvidia.yaml").write_text(P2000)
    done = doctor(*words) if "--local" in words else doctor("--from", str(tmp_path), *words)
    assert done.returncode == 2
    assert says in done.stderr
