"""Throw-away Pulumi projects and a real control plane without nodes."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from lab.engine import install
from lab.network import free_ports

Json = Any


@dataclass
class Ran:
    """One finished command."""

    status: int
    out: str
    seconds: float

    def ok(self) -> Ran:
        assert self.status == 0, self.out
        return self


@dataclass
class Project:
    """A Pulumi project in a folder of its own, with one stack `test`."""

    folder: Path
    engine: install.Engine
    environment: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)

    def write(self, program: str, **files: str) -> Project:
        (self.folder / "__main__.py").write_text(program)
        for name, text in files.items():
            (self.folder / f"{name}.py").write_text(text)
        return self

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.engine.pulumi, *arguments],
            cwd=self.folder,
            env={**self.environment, **self.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> Ran:
        began = time.monotonic()
        process = self.start(*arguments)
        out, _ = process.communicate(timeout=120)
        return Ran(process.returncode, out, time.monotonic() - began)

    def up(self, *arguments: str) -> Ran:
        return self.run("up", "--yes", "--skip-preview", "--stack", "test", *arguments)

    def preview(self, *arguments: str) -> Ran:
        return self.run("preview", "--stack", "test", *arguments)

    def refresh(self, *arguments: str) -> Ran:
        return self.run("refresh", "--yes", "--skip-preview", "--stack", "test", *arguments)

    def destroy(self, *arguments: str) -> Ran:
        return self.run("destroy", "--yes", "--skip-preview", "--stack", "test", *arguments)

    def config(self, **values: str) -> Project:
        """Set plain configuration, in the stack's file: the command line takes half a second a key."""
        path = self.folder / "Pulumi.test.yaml"
        stack = yaml.safe_load(path.read_text()) if path.exists() else {}
        stack.setdefault("config", {}).update({f"trial:{key}": value for key, value in values.items()})
        path.write_text(yaml.safe_dump(stack))
        return self

    def setting(self, key: str) -> str:
        value: str = yaml.safe_load((self.folder / "Pulumi.test.yaml").read_text())["config"][f"trial:{key}"]
        return value

    def steps(self) -> dict[str, str]:
        """What a preview would do to each resource, by its name."""
        digest = json.loads(self.preview("--json", "--show-sames").ok().out)
        steps = {step["urn"].rsplit("::", 1)[1]: step["op"] for step in digest["steps"]}
        return {name: op for name, op in steps.items() if name not in ("trial-test", "default_4_34_2", "default")}

    def resources(self) -> list[Json]:
        """The stack's resources as the state has them, secrets encrypted."""
        exported = json.loads(self.run("stack", "export", "--stack", "test").ok().out)
        found: list[Json] = exported["deployment"].get("resources", [])
        return found


@dataclass
class Api:
    """The control plane's API server, as cluster-admin."""

    url: str
    token: str
    kubeconfig: Path

    def __call__(self, method: str, path: str, body: Json = None, kind: str = "application/json", **query: str) -> Json:
        answer = httpx.request(
            method,
            self.url + path,
            content=None if body is None else json.dumps(body),
            params=query,
            verify=False,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind},
            trust_env=False,
            timeout=60,
        )
        return {"code": answer.status_code} if answer.status_code == 404 else answer.raise_for_status().json()

    def until(self, condition: Callable[[], Json], seconds: float = 90) -> Json:
        """Poll until the condition holds; returns what it said."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"not within {seconds} s; last seen: {found!r}"
            time.sleep(0.1)
        return found


def control_plane(folder: Path, binaries: Path, etcd: Path, start: Callable[..., None]) -> Api:
    client, peer, secure, manager = free_ports(4)
    subprocess.run(["openssl", "genrsa", "-out", folder / "sa.key", "2048"], check=True, capture_output=True)
    token = "of-the-tests"
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    start(
        etcd,
        "--data-dir",
        folder / "etcd",
        "--name",
        "test",
        "--unsafe-no-fsync",
        "--log-level",
        "warn",
        f"--listen-client-urls=http://127.0.0.1:{client}",
        f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-cluster=test=http://127.0.0.1:{peer}",
    )
    start(
        binaries / "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{client}",
        "--bind-address=127.0.0.1",
        f"--secure-port={secure}",
        f"--cert-dir={folder}/certificates",
        f"--token-auth-file={folder}/tokens.csv",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder}/sa.key",
        f"--service-account-signing-key-file={folder}/sa.key",
        "--endpoint-reconciler-type=none",
        "--disable-admission-plugins=ServiceAccount",
        "--enable-priority-and-fairness=false",
    )
    made = Api(f"https://127.0.0.1:{secure}", token, folder / "kubeconfig")
    made.kubeconfig.write_text(json.dumps(kubeconfig(made.url, token)))

    def ready() -> Json:
        try:
            return made("GET", "/api/v1/namespaces/default")["metadata"]
        except (httpx.HTTPError, KeyError):
            return None

    made.until(ready, 90)
    start(
        binaries / "kube-controller-manager",
        f"--kubeconfig={made.kubeconfig}",
        f"--secure-port={manager}",
        "--bind-address=127.0.0.1",
        f"--cert-dir={folder}/manager",
        "--leader-elect=false",
        "--controllers=garbage-collector-controller,namespace-controller,job-controller,daemonset-controller,"
        "deployment-controller,replicaset-controller",
    )
    return made


def kubeconfig(server: str, token: str) -> Mapping[str, Json]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "test", "user": {"token": token}}],
    }
