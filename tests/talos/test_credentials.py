"""talosconfig: what is read, every fault at once, and no secret anywhere."""

from __future__ import annotations

import base64
import copy
import pickle
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from talos_gpu.talos.credentials import TalosConfig
from talos_gpu.talos.errors import CertificateExpired, TalosConfigInvalid
from tests.talos.pki import Authority, talosconfig

AUTHORITY = Authority()
ADMIN = AUTHORITY.client("os:admin")


def test_roles_and_addresses_are_read() -> None:
    text = talosconfig(
        AUTHORITY, AUTHORITY.client("os:operator", "os:etcd:backup"), endpoints=["10.0.0.2"], nodes=["a", "b"]
    )
    who = TalosConfig.load(text)
    assert (who.context, who.endpoints, who.nodes) == ("lab", ("10.0.0.2",), ("a", "b"))
    assert who.roles == ("os:operator", "os:etcd:backup")
    assert who.ca == AUTHORITY.crt
    who.require_valid()


def test_a_certificate_that_expires_soon_is_warned_of() -> None:
    who = TalosConfig.load(talosconfig(AUTHORITY, AUTHORITY.client("os:admin", end=timedelta(days=9))))
    expires = f"{who.not_after:%Y-%m-%d %H:%M}"
    assert who.expiry_warning(who.not_after - timedelta(days=7, hours=1)) == (
        f"the client certificate of talosconfig context 'lab' expires on {expires} UTC, in 7 days: "
        "make a new one with talosctl config new"
    )
    assert who.expiry_warning(who.not_after - timedelta(days=31)) is None
    assert who.expiry_warning(who.not_after - timedelta(days=31), within=timedelta(days=60)) is not None
    assert who.expiry_warning() is not None


def test_an_endpoint_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config"
    path.write_text(talosconfig(AUTHORITY, ADMIN, nodes=None))
    assert TalosConfig.load(path).nodes == ()
    assert TalosConfig.load(str(path)).endpoints == ("127.0.0.1",)
    monkeypatch.setenv("TALOSCONFIG", str(path))
    assert TalosConfig.load().context == "lab"


def test_the_home_folder_is_the_last_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TALOSCONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(TalosConfigInvalid) as caught:
        TalosConfig.load()
    assert str(caught.value) == (
        f"{tmp_path}/.talos/config is no usable talosconfig:\n"
        "  - No such file or directory\n"
        "  remedy: set talosconfig in the stack, or TALOSCONFIG in the environment, to the file's path"
    )


def test_a_context_is_chosen_by_name() -> None:
    document = yaml.safe_load(talosconfig(AUTHORITY, ADMIN))
    document["contexts"]["other"] = document["contexts"]["lab"] | {"endpoints": ["10.9.9.9"]}
    text = yaml.safe_dump(document)
    assert TalosConfig.load(text, "other").endpoints == ("10.9.9.9",)
    with pytest.raises(TalosConfigInvalid, match=r"no context 'third' \(there is: lab, other\)"):
        TalosConfig.load(text, "third")


def test_every_fault_is_told_at_once() -> None:
    text = talosconfig(
        AUTHORITY, ADMIN, endpoints="10.0.0.2", ca="%%%", crt=base64.b64encode(b"plain").decode(), key=None
    )
    with pytest.raises(TalosConfigInvalid) as caught:
        TalosConfig.load(text)
    assert str(caught.value) == (
        "talosconfig is no usable talosconfig:\n"
        "  - contexts.lab.endpoints: not a list of addresses\n"
        "  - contexts.lab.ca: not base64\n"
        "  - contexts.lab.crt: not PEM\n"
        "  - contexts.lab.key: missing"
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: b: c\n", "line 1: not YAML: mapping values are not allowed here"),
        ("- 1\n", "no contexts in it"),
        ("contexts: {}\n", "no contexts in it"),
        ("contexts: {lab: 1}\n", "no current context"),
        ("context: lab\ncontexts: {lab: 1}\n", "contexts.lab is no mapping"),
    ],
)
def test_text_that_is_no_talosconfig(text: str, fault: str) -> None:
    with pytest.raises(TalosConfigInvalid) as caught:
        TalosConfig.load(text)
    assert caught.value.faults == (fault,)


def test_a_key_of_another_certificate_is_a_fault() -> None:
    other = base64.b64encode(AUTHORITY.client("os:admin").talos_key).decode()
    with pytest.raises(TalosConfigInvalid, match=r"contexts.lab.key: does not belong to the certificate in crt"):
        TalosConfig.load(talosconfig(AUTHORITY, ADMIN, key=other))


def test_an_expired_certificate_is_read_and_then_refused() -> None:
    who = TalosConfig.load(talosconfig(AUTHORITY, AUTHORITY.client("os:admin", end=timedelta(minutes=-5))))
    with pytest.raises(CertificateExpired, match=f"expired on {who.not_after:%Y-%m-%d}"):
        who.require_valid()
    with pytest.raises(CertificateExpired, match="is not valid before"):
        who.require_valid(who.not_before - timedelta(days=1))


def test_credentials_show_no_secret_and_cannot_be_stored() -> None:
    who = TalosConfig.load(talosconfig(AUTHORITY, ADMIN))
    shown = repr(who) + str(who) + f"{who}"
    assert "PRIVATE" not in shown
    assert "CERTIFICATE" not in shown
    for store in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="never pickled"):
            store(who)
