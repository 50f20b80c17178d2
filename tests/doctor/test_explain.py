"""The messages of the original write-up and of the project's own measurements, explained; others are not guessed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talos_gpu.doctor.explain import explain
from talos_gpu.doctor.known import ALL
from talos_gpu.doctor.known_text import Known
from tests.doctor.fault import BLINDED, MOUNT, NO_RUNTIME, NO_TOPIC, UNRESOLVABLE, WRAPPER
from tests.gpu.test_failures import FAILURES, Failure

ROOT = Path(__file__).parents[2]
TEXTS = {
    # the original write-up
    BLINDED: ["legacy-blinded"],
    "nvidia-container-cli: mount error: failed to add device rules:\nunable to generate new device filter program from "
    "existing programs:\nunable to create new device filters program: load program: invalid argument:\nlast insn is "
    "not "
    "an exit or jmp": ["legacy-blinded"],
    '"unresolvable CDI devices nvidia.com/gpu=all"': ["device-unresolvable"],
    "nvidia-container-runtime-wrapper: unknown command nvidia-cdi-hook": ["wrapper-unknown-command"],
    # seen on an H100 and on the lab's node
    UNRESOLVABLE: ["device-unresolvable"],
    WRAPPER: ["wrapper-unknown-command"],
    MOUNT: ["spec-paths-missing"],
    NO_TOPIC: ["spec-newer-than-hook"],
    NO_RUNTIME: ["handler-unknown"],
    "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=all": ["device-unresolvable"],
    'exec: "nvidia-smi": executable file not found in $PATH': ["nvidia-smi-missing"],
    "CDI registry refresh failed: conflicting device nvidia.com/gpu=all, unresolvable CDI devices x": ["spec-conflict"],
    'failed to parse CDI Spec "/etc/cdi/x.yaml": json: unknown field "foo"': ["spec-invalid"],
    "nsenter: failed to execute sh: No such file or directory": ["no-host-shell"],
    "Failed to initialize NVML: Unknown Error": ["nvml-unknown"],
    "No devices found.": ["nvml-no-device"],
    "R11 is invalid": ["legacy-blinded"],
    "fork/exec /usr/local/bin/nvidia-cdi-hook.real: no such file or directory": ["hook-missing"],
    "chroot: can't execute 'sh': No such file or directory": ["no-host-shell"],
    "cuInit returned 999": ["cuinit-999"],
    "cuInit 100": ["cuinit-100"],
    "cuInit(0) returned 100 CUDA_ERROR_NO_DEVICE": ["no-device"],
    "cuInit 803": ["cuinit-803"],
    "cuInit: 999": ["cuinit-999"],
    "init 250 result=11": ["glibc-cache"],
    "modprobe: ERROR: could not insert 'nvidia': No such device": ["no-gpu-on-bus"],
    "modprobe: can't load module nvidia (extras/nvidia.ko): No such device": ["no-gpu-on-bus"],
    "modprobe: ERROR: could not insert 'nvidia': Key was rejected by service": ["module-refused"],
    'runtimeclass.node.k8s.io "nvidia" not found': ["runtimeclass-missing"],
    "remote error: tls: expired certificate": ["talosconfig-expired"],
    "getaddrinfo ENOTFOUND tdarr-server.media.svc": ["tdarr-server"],
    "ENOENT: no such file or directory, open '/media/films/a.mkv'": ["tdarr-path"],
    'create operation not allowed outside of /var: "/etc/x"': ["files-outside-var"],
    "rpc error: code = PermissionDenied desc = no request forwarding": ["forwarding-refused"],
    "resource EtcFileSpecs.files.talos.dev(files/cri/conf.d/20-customization.part@undefined) already exists": [
        "files-twice"
    ],
    "NVRM: The NVIDIA Quadro P2000 GPU installed in this system is\nNVRM:  supported through the NVIDIA 580.xx Legacy "
    "drivers.": ["driver-branch"],
    # the installers', the original one's and ours
    "ERROR: CDI spec not found at /var/cdi/nvidia.yaml": ["source-missing"],
    "2026-11-27T15:38:32Z REFUSED: source /var/cdi/nvidia.yaml: missing": ["source-missing"],
    "REFUSED: driver: the host has 535.288.01, the spec is for 535.247.01": ["driver-moved"],
    "REFUSED: driver: not loaded (no version in /proc/driver/nvidia/version), the spec is for 535.247.01": [
        "driver-unloaded"
    ],
    # ffmpeg's own words, as the mock GPU makes it say them
    "[hevc_nvenc @ 0x5649f8bce980] Cannot load libcuda.so.1": ["libcuda-missing"],
    "[hevc_nvenc @ 0x55c11a7b2980] Cannot load libnvidia-encode.so.1\n[hevc_nvenc @ 0x55c11a7b2980] The minimum "
    "required "
    "Nvidia driver for nvenc is 470.57.02 or newer": ["libnvidia-encode-missing"],
    "dl_fn->cuda_dl->cuInit(0) failed -> CUDA_ERROR_UNKNOWN: unknown error": ["cuda-unknown"],
    "[hevc_nvenc @ 0x56142a832980] OpenEncodeSessionEx failed: out of memory (10): (no details)\n[hevc_nvenc @ "
    "0x56142a832980] No capable devices found": ["session-refused"],
    "[hevc_nvenc @ 0x562fd5872980] EncodePicture failed!: generic error (20): ": ["encoder-lost"],
    # the kubelet's and others'
    "0/3 nodes are available: 1 node(s) had untolerated taint {nvidia.com/gpu: }": ["taint-untolerated"],
    'pods "x" is forbidden: violates PodSecurity "baseline:latest": privileged': ["podsecurity-refuses"],
    'Failed to create pod sandbox: RuntimeClass "nvidia-cdi" not found': ["runtimeclass-missing"],
    "NVRM: Xid (PCI:0000:01:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.": ["gpu-lost"],
    "NVRM: API mismatch: the client has the version 535.247.01, but\nNVRM: this kernel module has the version "
    "535.183.01.": ["driver-apart"],
    "Error: connect ECONNREFUSED 10.96.0.12:8266": ["tdarr-server"],
}


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: TEXTS[text][0])
def test_a_known_text_has_its_cause(text: str) -> None:
    assert [one.name for one in explain(text)] == TEXTS[text]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: TEXTS[text][0])
def test_a_text_is_known_in_quotes_wrapped_and_in_colours(text: str) -> None:
    wrapped = "\x1b[31mWarning  Failed  3s  kubelet  " + text.replace(" ", "\n   ").replace('"', '\\"') + "\x1b[0m"
    assert [one.name for one in explain(wrapped)] == TEXTS[text]


UNKNOWN = (
    "",
    "the flux capacitor is not charged",
    "Back-off restarting failed container",
    # lines that have nothing to do with each other
    'runtimeclass is fine\nconfigmap "foo" not found',
    "modprobe: loading nvidia\nmodprobe sr0: No such device",
    "nvidia-container-cli: version 1.17\nsystemd: failed to add device rules for loop0",
    "NVRM: loading NVIDIA UNIX x86_64 Kernel Module\n" + "usb 1-1: new device\n" * 9 + "this requires an open port",
    "failed to get lease\n" + "retrying\n" * 12 + "libcuda.so is at /usr/lib",
    "cuInit 0\nencoded 100 frames",
    # other programs' words
    "x509: certificate has expired or is not yet valid (failed to reach registry.example.com)",
    "npm ERR! network request to https://registry.npmjs.org failed, reason: connect ETIMEDOUT 1.2.3.4:443",
    "Error: connect ECONNREFUSED 10.0.0.5:5432",
    "ENOENT: no such file or directory, open '/app/configs/settings.json'",
    "my-go-service: exit code 139",
    "modprobe: ERROR: could not insert 'zfs': Key was rejected by service",
)


@pytest.mark.parametrize("text", UNKNOWN)
def test_an_unknown_text_is_not_guessed(text: str) -> None:
    assert explain(text) == []


@pytest.mark.parametrize("pattern", ALL, ids=lambda known: known.name)
def test_a_pattern_has_no_gap_without_an_end(pattern: Known) -> None:
    """So that a text is read in one pass, and lines far from each other make no third."""
    gaps = re.findall(r"(?:\.|\\S|\\W|\[\^[^\]]*\])[*+]", pattern.pattern.pattern)
    assert set(gaps) <= {r"\S+", "[^)]*", "[^']+"}, gaps


@given(st.text())
def test_any_text_can_be_asked(text: str) -> None:
    explain(text)


def test_every_known_text_has_a_name_of_its_own_cause_remedy_and_source() -> None:
    assert len({one.name for one in ALL}) == len(ALL)
    for one in ALL:
        assert one.cause.endswith(".")
        assert one.remedy
        assert one.source


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_every_failure_of_the_mock_gpu_is_explained_from_the_real_ffmpeg_s_words(failure: Failure) -> None:
    """tests/gpu/test_failures.py has ffmpeg say these words."""
    for words in (failure.words, failure.hwaccel_words):
        assert explain("\n".join(words)) or not words, words


def run(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "talos_gpu", "explain", *words]
    return subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, text=True, check=False)


def test_the_command_reads_an_argument_or_stdin_and_says_when_it_does_not_know() -> None:
    known = run("--json", stdin=WRAPPER)
    assert known.returncode == 0
    assert '"name": "wrapper-unknown-command"' in known.stdout
    unknown = run("the flux capacitor is not charged")
    assert unknown.returncode == 1
    assert unknown.stdout.startswith("This text is not known here.")
    assert run().returncode == 2
