"""Test 4: the installed spec through reboots and restarts, as a reader sees it that polls the file without pause."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import kubectl
from tests.lab.conftest import MainJob, wait_for

pytestmark = pytest.mark.lab

INSTALLED = "/run/cdi/nvidia.yaml"


Boot = int | None
"""The pid of a boot's first process."""


class Reader:
    """Reads the file again and again; keeps each content once, by boot: None where the node is there and the file not.

    Between two boots, when there is no node, nothing is seen.
    """

    def __init__(self, job: MainJob) -> None:
        self._job, self._ended = job, threading.Event()
        self._thread = threading.Thread(target=self._poll, name="reader")
        self._seen: set[tuple[Boot, str | None]] = set()
        self.reads = 0

    def _poll(self) -> None:
        while not self._ended.is_set():
            boot = self._job.node.pid
            root = Path(f"/proc/{boot}/root")
            try:
                self._seen.add((boot, root.joinpath(INSTALLED.lstrip("/")).read_text()))
            except (FileNotFoundError, ProcessLookupError):
                if root.joinpath("proc/uptime").exists():
                    self._seen.add((boot, None))
            self.reads += 1

    def seen(self, *boots: Boot) -> set[str | None]:
        """What was read, in these boots or, without any, in all."""
        return {content for boot, content in self._seen if not boots or boot in boots}

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


@contextmanager
def reading(job: MainJob) -> Iterator[Reader]:
    with Reader(job) as reader:
        yield reader
    assert reader.reads > 1000, "too few looks to tell anything"


def test_after_a_reboot_it_is_put_back_without_pulumi_and_never_seen_half(job: MainJob) -> None:
    good, boot = job.inside(INSTALLED).read_text(), job.node.pid
    with reading(job) as reader:
        job.reboot()
    assert reader.seen(boot) <= {None, good}, "the reader saw something else than the patched one before it ended"
    assert reader.seen(job.node.pid) == {None, good}, "the reader saw something else than no file and the patched one"
    copied = re.compile(r"CDI spec copied successfully to /var/run/cdi/nvidia\.yaml: .*; before: it was missing")
    assert copied.search(job.installer_log()), job.installer_log()
    job.encode()


def test_twenty_restarts_of_the_installer_never_show_it_half(job: MainJob) -> None:
    good = job.inside(INSTALLED).read_text()
    with reading(job) as reader:
        for _ in range(20):
            [pod] = job.installer_pods()
            name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
            kubectl.kubectl(job.lab, "delete", "pod", "-n", "kube-system", name, "--grace-period=1")

            def another(gone: str = uid) -> bool:
                return job.installer_ready() and all(p["metadata"]["uid"] != gone for p in job.installer_pods())

            wait_for("another installer pod is ready", another)
    assert reader.seen() == {good}, "the installed spec was away or another one for a moment"


def test_an_edited_or_deleted_spec_is_back_within_half_a_minute_and_the_log_says_so(job: MainJob) -> None:
    installed = job.inside(INSTALLED)
    good = installed.read_text()

    def back() -> bool:
        return installed.exists() and installed.read_text() == good

    def logged(words: str) -> bool:
        return words in job.installer_log()

    assert logged("CDI spec copied successfully to /var/run/cdi/nvidia.yaml") or logged("is installed already")
    installed.write_text(good.replace("nvidia-cdi-hook.real", "nvidia-cdi-hook"))
    wait_for("the edited spec is put back", back, 30)
    edited = "put /var/run/cdi/nvidia.yaml back: something else lay there (sha256 "
    # told before the next blow: the installer looks at what it has put there once more, and then tells
    wait_for("the log says so", lambda: logged(edited))
    installed.unlink()
    wait_for("the deleted spec is put back", back, 30)
    wait_for("the log says so", lambda: logged("put /var/run/cdi/nvidia.yaml back: it was missing"))
