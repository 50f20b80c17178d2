"""Which kubeconfig, which context, whose certificate."""

from __future__ import annotations

import asyncio
import base64
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from talos_gpu.kube.cluster import Cluster
from talos_gpu.kube.kubeconfig import client_certificate_end, kubeconfig_files
from tests.kube.fake_api import NODE, Api, serving
from tests.talos.pki import Authority

AUTHORITY = Authority()
SOON, LATE = AUTHORITY.client("a", end=timedelta(days=2)), AUTHORITY.client("b", end=timedelta(days=8))


def written(path: Path, *, current: str = "", users: dict[str, dict[str, str]]) -> Path:
    """A kubeconfig with a context for each user, named as the user."""
    document = {
        "current-context": current,
        "contexts": [{"name": name, "context": {"cluster": "c", "user": name}} for name in users],
        "users": [{"name": name, "user": user} for name, user in users.items()],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def data(crt: bytes) -> dict[str, str]:
    return {"client-certificate-data": base64.b64encode(crt).decode()}


def days(end: datetime | None) -> int | None:
    return round((end - datetime.now(UTC)) / timedelta(days=1)) if end else None


def test_the_certificate_is_that_of_the_current_context_s_user_and_not_the_first_one(tmp_path: Path) -> None:
    path = written(tmp_path / "k", current="second", users={"first": data(SOON.crt), "second": data(LATE.crt)})
    assert days(client_certificate_end(path)) == 8
    assert days(client_certificate_end(written(path, users={"first": data(SOON.crt), "x": data(LATE.crt)}))) == 2


def test_a_certificate_in_a_file_lies_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "me.crt").write_bytes(SOON.crt)
    path = written(tmp_path / "k", current="a", users={"a": {"client-certificate": "me.crt"}})
    assert days(client_certificate_end(path)) == 2


def test_kubeconfig_of_the_environment_may_be_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = written(tmp_path / "one", users={"a": data(SOON.crt)})
    two = written(tmp_path / "two", current="b", users={"b": data(LATE.crt)})
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join((str(tmp_path / "gone"), str(one), str(two))))
    assert kubeconfig_files() == (one, two)
    assert days(client_certificate_end(None)) == 8
    assert kubeconfig_files(one) == (one,)


@pytest.mark.parametrize("text", ["", "[]", "{", "users: 5", "current-context: x", "contexts: [{name: x}]"])
def test_a_kubeconfig_of_any_form_has_no_certificate(tmp_path: Path, text: str) -> None:
    (tmp_path / "k").write_text(text)
    assert client_certificate_end(tmp_path / "k") is None
    assert client_certificate_end(tmp_path / "none") is None


def test_the_cluster_is_the_one_of_the_first_file_that_names_a_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As kubectl: contexts of all files, the first current-context."""
    other = written(tmp_path / "other", users={"a": {"token": "t"}})

    async def asked() -> str:
        async with serving(Api({"/api/v1/nodes/lab-1": NODE}), tmp_path) as config:
            monkeypatch.setenv("KUBECONFIG", os.pathsep.join((str(tmp_path / "gone"), str(other), str(config))))
            async with Cluster() as cluster:
                node = await cluster.node("lab-1")
        assert node is not None
        return node.boot_id

    assert asyncio.run(asked()) == "old"
