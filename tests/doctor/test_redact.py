"""No secret is saved, in whatever clothes it comes; what is saved is diagnosed as before."""

from __future__ import annotations

import copy
import json

import pytest

from talos_gpu.doctor.diagnose import diagnose
from talos_gpu.doctor.redact import HIDDEN, redacted, text
from tests.doctor.bundles import Box, broken

ENV = ("apiKey", "SMB_PASSWORD", "SMB_PASS", "PGPASS", "DB_PWD", "JWT", "PULUMI_CONFIG_PASSPHRASE", "DSN", "LICENCE")
SECRET = "hunter2-Corr3ct"
IN_TEXTS = (
    f"login password={SECRET}",
    f"pass = {SECRET}",
    f"pass: '{SECRET} with {SECRET} a space'",
    f'password="{SECRET} with {SECRET}"',
    f"Authorization: Bearer {SECRET}",
    f"authorization: basic {SECRET}",
    f"curl -u admin:{SECRET} https://nas/",
    f"curl --user=admin:{SECRET} https://nas/",
    f"mount https://user:{SECRET}@nas/media",
    f"git clone https://{SECRET}@github.com/x/y",
    f"redis-server --requirepass {SECRET}",
    f"starting with apiKey {SECRET}",
    f'{{\\"apiKey\\":\\"{SECRET}\\",\\"a\\":1}}',
    f'{{"token": "{SECRET}"}}',
    f"-----BEGIN ED25519 PRIVATE KEY-----\n{SECRET}\n-----END ED25519 PRIVATE KEY-----",
    f"AWS_SECRET_ACCESS_KEY={SECRET}; export PGPASS={SECRET}",
    f"jwt eyJhbGciOiJSUzI1NiIsImtpZCI6.{SECRET}.{SECRET}",
    f"Set-Cookie: session={SECRET}; Path=/",
)
ARGUMENTS = (["--requirepass", SECRET], ["--password", SECRET], ["-u", f"admin:{SECRET}"], [f"--token={SECRET}"])


@pytest.mark.parametrize("words", IN_TEXTS)
def test_a_text_is_saved_without_its_secret(words: str) -> None:
    assert HIDDEN in text(words)
    assert SECRET not in text(f"2026-11-24 {words}\nnext line")


@pytest.mark.parametrize(
    "words",
    [
        "NVRM: Xid (PCI:0000:01:00): 79, pid=1, GPU has fallen off the bus.",
        "invalid token provided",
        "couldn't find key password in Secret media/smb",
        "PCI passthrough: enabled, 4 tests passed: ok",
        "ghcr.io/haveagitgat/tdarr_node@sha256:1111",
        "nvidia-container-runtime-wrapper: unknown command nvidia-cdi-hook",
    ],
)
def test_a_text_without_a_secret_stays(words: str) -> None:
    assert text(words) == words


def pod(box: Box, name: str, **container: object) -> None:
    """A pod of somebody's that has nothing to do with the GPU."""
    metadata = {"name": name, "namespace": "other", "annotations": {"vault/answer": SECRET}}
    box.items("pods").append({"metadata": metadata, "spec": {"containers": [container]}, "status": {}})


def test_no_secret_of_any_pod_is_saved() -> None:
    def with_secrets(box: Box) -> None:
        env = [{"name": name, "value": SECRET} for name in ENV]
        box.worker["spec"]["containers"][0]["env"] += env
        box.worker["spec"]["containers"][0]["args"] = [word for words in ARGUMENTS for word in words]
        pod(box, "db", env=env, command=["db", SECRET], args=[f"-p{SECRET}"])
        probe = {"exec": {"command": ["redis-cli", "-a", SECRET]}}
        header = {"httpGet": {"httpHeaders": [{"name": "X-Mine", "value": SECRET}]}}
        pod(box, "cache", livenessProbe=probe, readinessProbe=header)
        owner = copy.deepcopy(box.items("deployments")[0])
        owner["metadata"] = {"name": "db", "namespace": "other"}
        owner["spec"]["template"]["spec"]["containers"] = [{"env": env, "args": ["--pw", SECRET]}]
        box.items("deployments").append(owner)
        box.texts["cluster/logs/media_tdarr-0.txt"] += "\n".join(IN_TEXTS)
        box.texts["talos/dmesg.txt"] += "\n".join(IN_TEXTS)
        box.unread["x"] = f"token: {SECRET}"

    bundle = broken(with_secrets)
    saved = redacted(bundle)
    assert [key for key, value in {**saved.texts, **saved.unread}.items() if SECRET in value] == []
    assert diagnose(saved).findings == diagnose(bundle).findings == ()


def test_what_the_checks_and_people_need_is_kept() -> None:
    def with_command(box: Box) -> None:
        box.worker["spec"]["containers"][0]["command"] = ["ffmpeg", "-c:v", "hevc_nvenc"]

    pods = json.loads(redacted(broken(with_command)).texts["cluster/pods.json"])["items"]
    [container] = next(one for one in pods if one["metadata"]["name"] == "tdarr-0")["spec"]["containers"]
    assert container["command"] == ["ffmpeg", "-c:v", "hevc_nvenc"]
    assert {one["name"]: one["value"] for one in container["env"]} == {
        "NVIDIA_VISIBLE_DEVICES": "all",
        "ffmpegVersion": "6",
        "serverURL": "http://tdarr-server.media.svc:8266",
    }
