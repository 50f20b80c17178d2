"""The cluster and credentials that a kubeconfig names."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab.engine.kubernetes.errors import KubeconfigInvalid
from lab.engine.kubernetes.wire import Object


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one API server."""

    server: str
    namespace: str
    """The context's namespace; `default` when it names none."""

    identity: Object = field(repr=False)
    """The cluster entry: what tells two clusters apart."""

    user: Object = field(repr=False)
    folder: Path
    """What relative file names in the kubeconfig start from."""

    def headers(self) -> dict[str, str]:
        """Authentication headers of the user, if any."""
        token = self.user.get("token")
        if not token and self.user.get("tokenFile"):
            token = (self.folder / self.user["tokenFile"]).read_text().strip()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def tls(self) -> ssl.SSLContext:
        """Trust and client certificate for the connection."""
        authority = self._pem(self.identity, "certificate-authority")
        try:
            context = ssl.create_default_context(cadata=authority.decode() if authority else None)
            if self.identity.get("insecure-skip-tls-verify"):
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            certificate, key = self._pem(self.user, "client-certificate"), self._pem(self.user, "client-key")
            if certificate and key:
                with tempfile.NamedTemporaryFile() as both:  # ssl takes certificates from files only; mode 0600
                    both.write(certificate + b"\n" + key)
                    both.flush()
                    context.load_cert_chain(both.name)
        except ssl.SSLError as fault:
            raise KubeconfigInvalid(f"its certificates can't be used: {fault}") from fault
        return context

    def _pem(self, entry: Object, key: str) -> bytes | None:
        if entry.get(f"{key}-data"):
            try:
                return base64.b64decode(entry[f"{key}-data"], validate=True)
            except binascii.Error as fault:
                raise KubeconfigInvalid(f"{key}-data is not base64") from fault
        if entry.get(key):
            return Path(self.folder, entry[key]).read_bytes()
        return None


def load(path_or_text: str, context: str | None = None, cluster: str | None = None) -> Access:
    """Read a kubeconfig given as a path or as its text; without one, $KUBECONFIG or ~/.kube/config.

    Raises:
        KubeconfigInvalid: what it lacks. Users that run a program (exec) are not handled here.
    """
    path_or_text = path_or_text or os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or "~/.kube/config"
    folder = Path()
    try:
        if "\n" not in path_or_text and not path_or_text.lstrip().startswith("{"):
            path = Path(path_or_text).expanduser()
            folder, path_or_text = path.parent, path.read_text()
        config = yaml.safe_load(path_or_text)
    except (OSError, yaml.YAMLError) as fault:
        raise KubeconfigInvalid(str(fault)) from fault
    if not isinstance(config, dict):
        raise KubeconfigInvalid("it is not a mapping")
    chosen = _entry(config, "contexts", context or str(config.get("current-context", "")))
    identity = _entry(config, "clusters", cluster or str(chosen.get("cluster", "")))
    user = _entry(config, "users", str(chosen.get("user", "")))
    for unsupported in ("exec", "auth-provider"):
        if unsupported in user:
            raise KubeconfigInvalid(f"its user takes credentials from {unsupported!r}, which this stand-in does not do")
    if not identity.get("server"):
        raise KubeconfigInvalid("its cluster has no server")
    return Access(identity["server"].rstrip("/"), chosen.get("namespace") or "default", identity, user, folder)


def _entry(config: dict[str, Any], section: str, name: str) -> Object:
    for entry in config.get(section) or []:
        if entry.get("name") == name:
            value: Object = entry.get(section[:-1]) or {}
            return value
    raise KubeconfigInvalid(f"it has no {section[:-1]} named {name!r}")


def identity_of(arguments: Object) -> Object:
    """The active cluster of a provider's arguments: what a replacement of the provider hangs on."""
    path_or_text = str(arguments.get("kubeconfig") or "")
    return load(path_or_text, arguments.get("context") or None, arguments.get("cluster") or None).identity
