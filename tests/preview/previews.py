"""Previews made by hand, small and large."""

from __future__ import annotations

from typing import Any

from talos_gpu.preview.model import ConfigDiff, Drift, Preview, Reboot, SpecChange, SpecDiff, StackPreview, Violation
from talos_gpu.rollout.plan import Change

HASH = "0123456789abcdef" * 4


def stack(name: str, **fields: Any) -> StackPreview:
    """A stack that changes nothing, with fields changed."""
    quiet: dict[str, Any] = {
        "reboot": Reboot(verdict="no"),
        "spec": SpecDiff(known="same"),
        "machine_config": ConfigDiff(known="same"),
    }
    return StackPreview(name=name, **{**quiet, **fields})


def busy(name: str, size: int = 3) -> StackPreview:
    """A stack in which everything changes, `size` times."""
    return stack(
        name,
        changes=tuple(
            Change(op="update", type="kubernetes:apps/v1:Deployment", name=f"{name}-{n}", properties=("spec.template",))
            for n in range(size)
        ),
        reboot=Reboot(verdict="yes", reasons=("machine.files: /etc/x (files are written at boot)",)),
        restarts=(f"media/tdarr-node-gpu-{name}",),
        spec=SpecDiff(
            known="known",
            changes=tuple(
                SpecChange(change="changed", path=f"hook create-symlinks #{n}: path", old=f"/a{n}", new=f"/b{n}")
                for n in range(size)
            ),
        ),
        machine_config=ConfigDiff(
            known="known", diff="--- applied\n+++ rendered\n@@ -1 +1 @@\n" + f"-a {'x' * 60}\n+b\n" * size
        ),
        drift=(Drift(type="pulumi-python:dynamic/cdi:Source", name=f"{name}-cdi-source", found=("it is gone",)),),
        policy=(Violation(policy="images-by-digest", level="advisory", resource=f"{name}-x", message="not pinned"),),
        warnings=("cdi.image: x:1 is not pinned by digest",),
    )


def preview(*stacks: StackPreview, **fields: Any) -> Preview:
    """A preview of these stacks."""
    facts: dict[str, Any] = {
        "project": "talos-nvidia-cdi",
        "commit": "c0ffee" * 6 + "beef",
        "clean": True,
        "hash": HASH,
        "hash_of": "rollout",
        "refreshed": False,
        "policy_pack": "/somewhere/policy",
        "stand_ins": (),
    }
    return Preview(**{**facts, "stacks": stacks, **fields})
