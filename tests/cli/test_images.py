"""`talos-gpu images` against a registry on loopback."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from talos_gpu.cli import main
from talos_gpu.images.reference import Reference
from talos_gpu.settings.stack_file import stack_settings
from tests.cli.registry import TOKEN, Registry, serve

ROOT = Path(__file__).parents[2]
STACK = """\
# what this node is for
config:
  talos-nvidia-cdi:node: {{name: talos05, address: 192.168.1.194, talos: v1.11.1, \
gpu: {{model: Quadro P2000, driver: 535.247.01, memory_mib: 5120}}}}
  talos-nvidia-cdi:machine:
    base: base.yaml   # kept beside
  talos-nvidia-cdi:cdi:
    # Debian, for nsenter
    image: {cdi} # slim
    method: spec
  talos-nvidia-cdi:tdarr:
    image: "{tdarr}"
    server_url: http://tdarr-server.media.svc:8266
"""
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serve() as served:
        yield served


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["talos-gpu", "images", *words, "--project", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def written(folder: Path, cdi: str, tdarr: str) -> Path:
    path = folder / "Pulumi.talos05.yaml"
    path.write_text(STACK.format(cdi=cdi, tdarr=tdarr))
    return path


def test_tags_become_digests_and_nothing_else_changes(registry: Registry, command: Command, tmp_path: Path) -> None:
    cdi, tdarr = f"{registry.host}/library/debian:12-slim", f"{registry.host}/owner/tdarr_node:2.73.01"
    first, second = registry.add("library/debian:12-slim", a=1), registry.add("owner/tdarr_node:2.73.01", a=2)
    path = written(tmp_path, cdi, tdarr)
    code, out, _ = command("pin", "talos05")
    assert code == 0
    assert path.read_text() == STACK.format(cdi=f"{cdi}@{first}", tdarr=f"{tdarr}@{second}")
    assert out == f"talos05 cdi.image {cdi}@{first}\ntalos05 tdarr.image {tdarr}@{second}\n"
    assert stack_settings(path).warnings == []
    assert command("pin", "talos05") == (0, "every image is pinned already\n", "")


def test_a_token_is_fetched_where_the_registry_asks_for_one(
    registry: Registry, command: Command, tmp_path: Path
) -> None:
    registry.tokens = True
    pinned = registry.add("owner/node:1")
    path = written(tmp_path, f"{registry.host}/owner/node:1@{pinned}", f"{registry.host}/owner/node:1")
    assert command("pin", "talos05")[0] == 0
    assert f'image: "{registry.host}/owner/node:1@{pinned}"' in path.read_text()
    tokens = [asked for asked, _ in registry.asked if asked.startswith("/token")]
    assert tokens == ["/token?scope=repository%3Aowner%2Fnode%3Apull&service=here"]
    assert registry.asked[-1][1]["Authorization"] == f"Bearer {TOKEN}"


def test_update_looks_a_pinned_tag_up_again(registry: Registry, command: Command, tmp_path: Path) -> None:
    old = registry.add("owner/node:1")
    image = f"{registry.host}/owner/node:1"
    path = written(tmp_path, f"{image}@{old}", f"{image}@{old}")
    new = registry.add("owner/node:1", moved=True)
    assert command("pin", "talos05")[1] == "every image is pinned already\n"
    before = path.read_text()
    assert f"{image}@{new}" in command("pin", "talos05", "--update", "--dry-run")[1]
    assert path.read_text() == before
    command("pin", "talos05", "--update")
    assert path.read_text() == before.replace(old, new)


def test_what_is_not_there_stays_as_it_is_and_the_rest_is_pinned(
    registry: Registry, command: Command, tmp_path: Path
) -> None:
    found = registry.add("owner/node:1")
    path = written(tmp_path, f"{registry.host}/owner/none:1", f"{registry.host}/owner/node:1")
    code, _, err = command("pin", "talos05")
    assert code == 2
    assert err == (
        f"talos-gpu: {registry.host}/owner/none:1: the registry {registry.host} has no such name or tag\n"
        "  remedy: correct the image's name\n"
    )
    text = path.read_text()
    assert f"{registry.host}/owner/none:1 # slim" in text
    assert f"owner/node:1@{found}" in text


def test_a_registry_that_cannot_be_reached_is_named_with_the_reason(command: Command, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody else takes the port
        host = f"127.0.0.1:{closed.getsockname()[1]}"
        path = written(tmp_path, f"{host}/a:1", f"{host}/b:1")
        before = path.read_text()
        code, out, err = command("pin", "talos05", "--timeout", "5")
    assert (code, out) == (2, "")
    assert f"{host}/a:1: the registry {host} cannot be reached: [Errno 111] Connection refused" in err
    assert f"{host}/b:1: the registry {host} cannot be reached" in err
    assert "remedy: run it where the registry can be reached" in err
    assert path.read_text() == before


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "a wrong digest": ({"claimed": "sha256:" + "0" * 64}, "it serves a manifest with digest sha256:"),
    "a rate limit": ({"status": 429}, "429 Too Many Requests"),
    "a server fault": ({"status": 503}, "503 Service Unavailable"),
    "tokens in the clear from elsewhere": (
        {"tokens": True, "realm": "http://192.0.2.1/token"},
        "its tokens come from http://192.0.2.1, which is not https",
    ),
    "a token file": ({"tokens": True, "realm": "file:///etc/passwd"}, "it wants a login (Bearer)"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_no_digest_is_written_after_a_refusal(registry: Registry, command: Command, tmp_path: Path, case: str) -> None:
    changes, said = REFUSALS[case]
    registry.add("owner/node:1")
    for name, value in changes.items():
        setattr(registry, name, value)
    path = written(tmp_path, f"{registry.host}/owner/node:1", f"{registry.host}/owner/node:1")
    before = path.read_text()
    code, _, err = command("pin", "talos05")
    assert code == 2
    assert said in err
    assert path.read_text() == before


def test_what_is_no_manifest_is_refused(registry: Registry, command: Command, tmp_path: Path) -> None:
    registry.manifests["owner/node:1"] = b"<html>log in</html>"
    written(tmp_path, f"{registry.host}/owner/node:1", f"{registry.host}/owner/node:1")
    code, _, err = command("pin", "talos05")
    assert code == 2
    assert "its answer is no image manifest" in err


def test_a_token_does_not_follow_a_redirect(registry: Registry, command: Command, tmp_path: Path) -> None:
    with serve() as other:
        pinned = other.add("owner/node:1")
        other.tokens = False
        registry.tokens, registry.redirect = True, f"http://{other.host}/v2/owner/node/manifests/1"
        path = written(tmp_path, f"{registry.host}/owner/node:1", f"{registry.host}/owner/node:1")
        assert command("pin", "talos05")[0] == 0
        assert pinned in path.read_text()
        assert all("Authorization" not in headers for _, headers in other.asked)


def test_a_default_image_is_written_where_the_file_has_none(registry: Registry, tmp_path: Path) -> None:
    from talos_gpu.images.stack_file import replaced

    text = STACK.format(cdi="x/a:1", tdarr="x/b:1").replace("    image: x/a:1 # slim\n", "")
    assert replaced(text, {"cdi.image": "x/c:1@sha256:1"}) == text.replace(
        "    method: spec\n", "    image: x/c:1@sha256:1\n    method: spec\n"
    )
    bare = "config:\n    talos-nvidia-cdi:node: {}\n"
    added = "    talos-nvidia-cdi:cdi:\n      image: x/c:1\n"
    assert replaced(bare, {"cdi.image": "x/c:1"}) == bare.replace("config:\n", f"config:\n{added}")


@pytest.mark.parametrize("section", ['\'{"image": "x/a:1"}\'', "{image: &a x/a:1}", "{}", "&s {method: spec}"], ids=str)
def test_what_cannot_be_spliced_is_refused_by_name(section: str) -> None:
    from talos_gpu.images.stack_file import PlaceUnclear, replaced

    with pytest.raises(PlaceUnclear, match=r"talos-nvidia-cdi:cdi\.image is not written in a way"):
        replaced(f"config:\n  talos-nvidia-cdi:cdi: {section}\n", {"cdi.image": "x/a:1@sha256:1"})


def test_list_says_which_are_not_pinned(command: Command, tmp_path: Path) -> None:
    digest = "sha256:" + "1" * 64
    written(tmp_path, f"x.test/a:1@{digest}", "x.test/b:1")
    assert command("list", "talos05") == (
        1,
        f"talos05 cdi.image x.test/a:1@{digest} pinned\ntalos05 tdarr.image x.test/b:1 not pinned\n",
        "",
    )


REFERENCES = {
    "debian:12": ("library/debian", "12", True),
    "docker.io/library/debian:12-slim": ("library/debian", "12-slim", True),
    "owner/name:1": ("owner/name", "1", True),
    "ghcr.io/haveagitgat/tdarr_node:2.73.01": ("haveagitgat/tdarr_node", "2.73.01", False),
    "localhost/name:1": ("name", "1", False),
    "10.0.0.1:5000/a/b/name:1": ("a/b/name", "1", False),
}


@pytest.mark.parametrize("image", REFERENCES)
def test_references_are_read_as_container_runtimes_read_them(image: str) -> None:
    repository, tag, default = REFERENCES[image]
    found = Reference.of(image)
    assert (found.repository, found.tag, found.domain == "docker.io") == (repository, tag, default)
    assert found.base.startswith("http://" if image.startswith("localhost") else "https://")
    assert found.pinned("sha256:1") == f"{image}@sha256:1"
