"""The lab's images: the same bytes each time, a valid layout, and programs that find their libraries."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabRefused
from lab.images import Image, Link, build_images, image_of
from lab.images.tree import Tree, tree_of

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")


class Archive:
    """An OCI archive, every digest and size checked as it is read."""

    def __init__(self, path: Path) -> None:
        with tarfile.open(path) as archive:
            self.files = {
                member.name: opened.read() for member in archive if (opened := archive.extractfile(member)) is not None
            }
        self.index = json.loads(self.files["index.json"])
        (self.named,) = self.index["manifests"]
        self.manifest = json.loads(self.blob(self.named))
        self.config = json.loads(self.blob(self.manifest["config"]))
        (layer,) = self.manifest["layers"]
        self.layer = gzip.decompress(self.blob(layer))

    def blob(self, descriptor: dict[str, Any]) -> bytes:
        algorithm, _, value = descriptor["digest"].partition(":")
        content = self.files[f"blobs/{algorithm}/{value}"]
        assert hashlib.sha256(content).hexdigest() == value
        assert len(content) == descriptor["size"]
        return content

    def members(self) -> dict[str, tarfile.TarInfo]:
        with tarfile.open(fileobj=io.BytesIO(self.layer)) as layer:
            return {member.name: member for member in layer}


@pytest.fixture(scope="session")
def images(image_cache: Path) -> dict[str, Image]:
    return {image.name: image for image in build_images(image_cache, image_cache)}


@pytest.fixture(scope="session")
def tdarr_root(images: dict[str, Image], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The worker's image, unpacked."""
    root = tmp_path_factory.mktemp("tdarr")
    with tarfile.open(fileobj=io.BytesIO(Archive(images["lab.local/tdarr-node:1"].archive).layer)) as layer:
        layer.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)  # as it is: 3.14 would filter
        layer.extractall(root)
    yield root
    subprocess.run(["rm", "-rf", str(root)], check=True)


def _inside(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}
    command = ["/usr/sbin/chroot", str(root), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_three_images_are_there_pause_first(images: dict[str, Image]) -> None:
    assert list(images) == ["lab.local/pause:1", "lab.local/node-tools:1", "lab.local/tdarr-node:1"]


@pytest.mark.parametrize("name", ["pause", "node-tools", "tdarr-node"])
def test_the_layout_is_oci(images: dict[str, Image], name: str) -> None:
    image = images[f"lab.local/{name}:1"]
    archive = Archive(image.archive)
    assert json.loads(archive.files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert archive.manifest["schemaVersion"] == 2
    assert archive.named["annotations"]["io.containerd.image.name"] == image.name
    assert archive.config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(archive.layer).hexdigest()}"]
    assert len(archive.files) == 5


def test_a_second_build_has_the_same_bytes() -> None:
    subset = Tree()
    subset.add_programs(["/bin/bash", "/usr/bin/sort"])
    subset.add_loader_cache()
    again = Tree()
    again.add_programs(["/usr/bin/sort", "/bin/bash"])
    again.add_loader_cache()
    assert subset.tar() == again.tar()


def test_a_built_image_is_found_in_the_cache(images: dict[str, Image], image_cache: Path) -> None:
    inodes = {image.name: image.archive.stat().st_ino for image in images.values()}
    times = {image.name: image.archive.stat().st_mtime_ns for image in images.values()}
    found = build_images(image_cache, image_cache)
    assert {image.name: image.archive.stat().st_ino for image in found} == inodes
    assert {image.name: image.archive.stat().st_mtime_ns for image in found} == times


def test_files_belong_to_root_and_have_no_time(images: dict[str, Image]) -> None:
    for member in Archive(images["lab.local/node-tools:1"].archive).members().values():
        assert (member.uid, member.gid, member.mtime) == (0, 0, 0), member.name


def test_every_path_has_its_folder_before_it(images: dict[str, Image]) -> None:
    seen = {"."}
    for name in Archive(images["lab.local/node-tools:1"].archive).members():
        assert str(Path(name).parent) in seen, name
        seen.add(name)


@needs_root
def test_every_program_finds_its_libraries(tdarr_root: Path) -> None:
    folders = ("usr/bin", "usr/sbin", "usr/lib/x86_64-linux-gnu")
    checked = 0
    for path in sorted(path for folder in folders for path in (tdarr_root / folder).glob("*")):
        if path.is_symlink() or not path.is_file() or path.read_bytes()[:4] != b"\x7fELF":
            continue
        inside = f"/{path.relative_to(tdarr_root)}"
        said = _inside(tdarr_root, "/lib64/ld-linux-x86-64.so.2", "--list", inside)
        assert "not found" not in said.stdout + said.stderr, f"{inside}: {said.stdout}{said.stderr}"
        checked += 1
    assert checked > 200


@needs_root
def test_the_real_ffmpeg_runs_with_both_encoders(tdarr_root: Path) -> None:
    said = _inside(tdarr_root, "ffmpeg", "-hide_banner", "-encoders")
    assert said.returncode == 0, said.stderr
    assert set(re.findall(r"^ V\S+ (\w+_nvenc) ", said.stdout, re.MULTILINE)) >= {"h264_nvenc", "hevc_nvenc"}
    assert _inside(tdarr_root, "ffprobe", "-version").returncode == 0


@needs_root
def test_the_userland_is_debians(tdarr_root: Path) -> None:
    said = _inside(
        tdarr_root,
        "/bin/sh",
        "-ec",
        "for tool in bash sh sha256sum readlink mv cp mkdir stat sleep date timeout head tail wc cut tr sort id tee"
        " grep sed awk find nsenter findmnt mount; do command -v $tool >/dev/null || echo lacks $tool; done;"
        ' echo one two | awk "{print \\$2}"; readlink /bin/sh; grep ^ID= /etc/os-release; ls -d /dev /proc /sys /run',
    )
    assert said.stdout.splitlines() == ["two", "dash", "ID=debian", "/dev", "/proc", "/run", "/sys"]
    assert said.stderr == ""


@needs_root
def test_the_loader_cache_is_real(tdarr_root: Path) -> None:
    said = _inside(tdarr_root, "/sbin/ldconfig", "-p")
    assert "libavcodec.so" in said.stdout
    assert (
        "=> /lib/x86_64-linux-gnu/libc.so.6" in said.stdout or "=> /usr/lib/x86_64-linux-gnu/libc.so.6" in said.stdout
    )


@needs_root
def test_the_pretended_node_says_so_and_ends_at_once_as_pid_1(tdarr_root: Path) -> None:
    command = [
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        "--root",
        str(tdarr_root),
        "/usr/local/bin/tdarr-node-pretended",
    ]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "nodeName": "talos05", "serverURL": "http://tdarr:8266"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        assert process.stdout
        for line in process.stdout:
            lines.append(line.split("] ", 1)[1].strip())
            if "waiting" in line:
                break
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stdout.read().split("] ", 1)[1].strip() == "Tdarr_Node stopping"
    finally:
        process.kill()
        process.communicate()
    assert lines == [
        "Tdarr itself is pretended in the lab; ffmpeg and its libraries are real",
        "Tdarr_Node starting: nodeName=talos05 serverURL=http://tdarr:8266 ffmpegVersion=unset",
        "nvidia-smi is not here: no GPU was injected",
        "Tdarr_Node waiting for work",
    ]


@needs_root
def test_pause_ends_at_once(images: dict[str, Image], tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(Archive(images["lab.local/pause:1"].archive).layer)) as layer:
        layer.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)  # as it is: 3.14 would filter
        layer.extractall(tmp_path)
    process = subprocess.Popen([str(tmp_path / "pause")])
    deadline = time.monotonic() + 60
    while "pause" not in (seen := Path(f"/proc/{process.pid}/wchan").read_text()) and time.monotonic() < deadline:
        if Path(f"/proc/{process.pid}/syscall").read_text().startswith("34 "):
            break
        time.sleep(0.01)
    process.terminate()
    assert process.wait(60) == 0, seen


def test_a_small_image_of_given_files(tmp_path: Path) -> None:
    script = tmp_path / "start"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    files: dict[str, Path | bytes | Link] = {
        "bin/start": script,
        "/etc/motd": b"hello\n",
        "usr/bin/link": Link("start"),
    }
    image = image_of(tmp_path / "small.tar", "lab.local/small:7", files, ["/bin/start"], {"A": "b"})
    archive = Archive(image.archive)
    members = archive.members()
    assert archive.config["config"]["Cmd"] == ["/bin/start"]
    assert "A=b" in archive.config["config"]["Env"]
    assert archive.named["annotations"]["org.opencontainers.image.ref.name"] == "7"
    assert members["usr/bin/start"].mode == 0o755
    assert members["etc/motd"].mode == 0o644
    assert members["usr/bin/link"].linkname == "start"
    assert image_of(
        tmp_path / "again.tar", "lab.local/small:7", files, ["/bin/start"], {"A": "b"}
    ).archive.read_bytes() == (image.archive.read_bytes())


def test_content_and_mode_are_part_of_the_key() -> None:
    one = tree_of({"a": b"1"}).key()
    assert one != tree_of({"a": b"2"}).key()
    assert one != tree_of({"a": Link("1")}).key()


def test_a_program_that_is_not_installed_is_refused() -> None:
    with pytest.raises(LabRefused, match="/usr/bin/no-such-program is not installed"):
        Tree().add_programs(["/usr/bin/no-such-program"])
