"""MachineReady's provider on a node and a cluster that are fakes at the transport."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from components.access import Access
from components.machine_ready import MachineReadyProvider
from talos_gpu.settings.machine import BeforeRestart
from talos_gpu.settings.windows import Window
from talos_gpu.talos.machine_config import LABEL
from tests.kube import fake_api
from tests.talos.asking import AUTHORITY
from tests.talos.fake_talos import ADDRESS
from tests.talos.pki import talosconfig
from tests.talos.test_facts import BOOT

NODE = "lab-1"
PATH = f"/api/v1/nodes/{NODE}"


def cluster_of() -> fake_api.Api:
    """A cluster that has the node, Ready, with its label, on the boot of gpu_node()."""
    node = copy.deepcopy(fake_api.NODE)
    node["metadata"]["labels"][LABEL[0]] = LABEL[1]
    node["status"]["nodeInfo"]["bootID"] = BOOT
    return fake_api.Api(objects={PATH: node, "/api/v1/pods": {"items": []}})


@contextlib.asynccontextmanager
async def providing(folder: Path, api: fake_api.Api) -> AsyncIterator[MachineReadyProvider]:
    """The provider with credentials in `folder`."""
    (folder / "talosconfig").write_text(talosconfig(AUTHORITY, AUTHORITY.client("os:admin")))
    async with fake_api.serving(api, folder) as kubeconfig:
        provider = MachineReadyProvider()
        provider._access = Access(str(folder / "talosconfig"), str(kubeconfig), "")
        yield provider


def props(port: int, **changes: Any) -> dict[str, Any]:
    """Inputs of a MachineReady that waits for no restart."""
    return {
        "node": NODE,
        "address": ADDRESS,
        "endpoint": f"{ADDRESS}:{port}",
        "release": "v1.11.1",
        "method": "spec",
        "default_runtime": False,
        "apply_mode": "auto",
        "reboot": "none",
        "reboot_expected": False,
        "boot_id_before": "before",
        "timeout_s": 60,
        "before_restart": {**BeforeRestart().model_dump(), "images": []},
        **changes,
    }


def window(opens_in_h: int, closes_in_h: int) -> dict[str, Any]:
    """As a resource's inputs have it, its times from now."""
    now = datetime.now(UTC)
    opens, closes = (f"{now + timedelta(hours=hours):%H:%M}" for hours in (opens_in_h, closes_in_h))
    return Window(opens=opens, closes=closes).model_dump(mode="json")
