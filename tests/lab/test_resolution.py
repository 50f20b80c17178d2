"""Which file gives a device: `resolve` before the real containerd (CRI) and the real nvidia-container-runtime.cdi."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc
import pytest

from lab.lab import Lab
from lab.nodes import Node
from talos_gpu.cdi import FOLDERS, Folder, Resolution, resolution
from talos_gpu.cdi.folders import read_folder
from tests.conftest import SPEC_FOLDERS
from tests.lab.conftest import wait_for
from tests.lab.cri import IMAGE, Cri

pytestmark = pytest.mark.containerd

NAMES = ("a", "b", "c")
UNRESOLVABLE = "unresolvable CDI devices"
ETC, RUN, VAR = SPEC_FOLDERS
SENTINEL = "lab.local/case"
_cases = itertools.count(1)
Files = dict[str, str]


def spec(path: str, *names: str, more: str = "", kind: str = "nvidia.com/gpu") -> str:
    """A spec whose devices say from which file they are."""
    devices = "".join(f"- {{name: {name}, containerEdits: {{env: ['FROM={path}']}}}}\n" for name in names)
    return f"cdiVersion: 0.5.0\nkind: {kind}\ndevices:\n{devices}{more}"


def files(given: Mapping[str, str], **more: str) -> Files:
    return {path: spec(path, *names, more=more.get("more", "")) for path, names in given.items()}


CASES: dict[str, Files] = {
    "nothing": {},
    "one folder": files({f"{ETC}/x.yaml": "ab"}),
    "a later folder wins": files({f"{ETC}/x.yaml": "abc", f"{RUN}/y.json": "b"}),
    "a folder that only CRI knows": files({f"{RUN}/x.yaml": "ab", f"{VAR}/x.yaml": "bc"}),
    "two files of a folder": files({f"{ETC}/x.yaml": "ab", f"{RUN}/y.yaml": "bc", f"{RUN}/z.yaml": "b"}),
    "a conflict behind a good file": files({f"{ETC}/x.yaml": "a", f"{ETC}/y.yaml": "a", f"{RUN}/z.yaml": "ab"}),
    "a file that fails": files({f"{ETC}/x.yaml": "a"}) | files({f"{RUN}/y.yaml": "ab"}, more="foo: 1\n"),
    "a file that fails in a conflict": files({f"{RUN}/x.yaml": "a"}) | files({f"{RUN}/y.yaml": "ab"}, more="foo: 1\n"),
    "names that are ignored": files({f"{ETC}/x.yml": "a", f"{ETC}/y.YAML": "b", f"{RUN}/z.yaml.tmp": "c"}),
    "hidden": files({f"{RUN}/.x.yaml": "a", f"{RUN}/.yaml": "b"}),
    "a subfolder": files({f"{RUN}/deeper/x.yaml": "a", f"{ETC}/x.yaml": "b"}),
    "an empty file": {f"{RUN}/x.yaml": "", **files({f"{ETC}/x.yaml": "a"})},
    "a version before the earliest": {f"{RUN}/x.yaml": spec("x", "a").replace("0.5.0", "0.2.0")},
}


def inside(node: Node, path: str) -> Path:
    """A path of the node seen from here; its /var/run is a link to /run, which would lead to this machine's."""
    return Path(f"/proc/{node.pid}/root{path.removeprefix('/var') if path.startswith('/var/run/') else path}")


def emptied(node: Node) -> None:
    for folder in SPEC_FOLDERS:
        place = inside(node, folder)
        place.mkdir(parents=True, exist_ok=True)
        for path in place.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture(scope="module")
def writable(containerd_lab: Lab) -> Iterator[Node]:
    """The node with a folder over /etc/cdi, which is read-only on Talos."""
    found = containerd_lab.node()
    subprocess.run(["mount", "--namespace", str(found.pid), "-t", "tmpfs", "tmpfs", ETC], check=True)
    yield found
    unmount = ["umount", "--namespace", str(found.pid), ETC]
    wait_for("containerd has read the emptied folder", lambda: subprocess.run(unmount, check=False).returncode == 0)


@pytest.fixture
def node(writable: Node) -> Iterator[Node]:
    emptied(writable)
    yield writable
    emptied(writable)


@pytest.fixture(scope="module")
def cri(containerd_lab: Lab) -> Iterator[Cri]:
    with Cri(containerd_lab.node()) as running:
        yield running


def resolved(node: Node, folders: tuple[str, ...]) -> Resolution:
    """What we say of the node's folders; paths are the node's."""
    found = [(folder, read_folder(inside(node, folder))) for folder in folders]
    return resolution([Folder(folder, read.files, read.error, read.stops) for folder, read in found])


def by_cri(cri: Cri, device: str) -> str:
    """The file that containerd takes the device from, "" where it refuses it as unresolvable."""
    try:
        with cri.container(device) as made:
            [value] = [word for word in made["process"]["env"] if word.startswith("FROM=")]
            return str(value.removeprefix("FROM="))
    except grpc.RpcError as error:
        assert f"{UNRESOLVABLE} {device}" in str(error), error
        return ""


def by_nvidia_runtime(node: Node, name: str) -> str:
    """The same of nvidia-container-runtime.cdi."""
    runtime = (
        "--runc-binary",
        "/usr/local/bin/nvidia-container-runtime.cdi",
        "--env",
        f"NVIDIA_VISIBLE_DEVICES={name}",
    )
    command = ["/bin/ctr", "-n", "k8s.io", "run", "--rm", *runtime, IMAGE, f"resolve-{name}", "sh", "-c", "echo $FROM"]
    done = node.run(*command, check=False)
    if done.returncode == 0:
        return done.stdout.strip()
    assert f"{UNRESOLVABLE} nvidia.com/gpu={name}" in done.stderr, done.stderr
    return ""


def scanned(node: Node, cri: Cri) -> None:
    """Return when containerd's cache, which watches the folders, has scanned them after everything put there so far."""
    name = f"s{next(_cases)}"
    inside(node, f"{RUN}/{name}.yaml").write_text(spec(name, name, kind=SENTINEL))
    wait_for("containerd scans its folders", lambda: by_cri(cri, f"{SENTINEL}={name}"))


@pytest.mark.parametrize("case", CASES)
def test_a_device_comes_from_the_file_that_resolve_names(node: Node, cri: Cri, case: str) -> None:
    for path, text in CASES[case].items():
        inside(node, path).parent.mkdir(parents=True, exist_ok=True)
        inside(node, path).write_text(text)
    scanned(node, cri)
    for name in NAMES:
        device = f"nvidia.com/gpu={name}"
        for reader, folders, found in (
            ("cdi_spec_dirs", SPEC_FOLDERS, by_cri(cri, device)),
            ("nvidia-container-runtime.cdi", FOLDERS, by_nvidia_runtime(node, name)),
        ):
            given = resolved(node, folders).find(device)
            assert found == (given.path if given else ""), (reader, device)
