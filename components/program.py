"""From a stack's settings to its node: local files are read here, nothing else is touched."""

from __future__ import annotations

import pulumi

from components.gpu_node import GpuNode, GpuNodeArgs
from talos_gpu.settings import Settings
from talos_gpu.talos.credentials import TalosConfig
from talos_gpu.talos.machine_config import lacking, wanted
from talos_gpu.talos.releases import Method, strategy_for
from talos_gpu.talos.render import render


def declare(settings: Settings) -> GpuNode:
    """Declare the stack's resources and say what to look at.

    Reads the base machine config and the talosconfig; needs neither node nor cluster. Raises TalosGpuError where one of
    the files cannot be used.
    """
    release = strategy_for(settings.node.release)
    base = settings.base_path.read_text(encoding="utf-8")
    want = wanted(release, Method(settings.cdi.method), default_runtime=settings.cdi.runtime == "default")
    lacks = lacking(base, want)
    for warning in filter(None, (release.caution, *settings.warnings, *lacks.warnings)):
        pulumi.log.warn(warning)
    credentials = TalosConfig.load(settings.talosconfig or None, settings.talos_context or None)
    if soon := credentials.expiry_warning():
        pulumi.log.warn(soon)
    args = GpuNodeArgs(
        settings=settings,
        credentials=credentials,
        machine_config=render(base, lacks.patches),
    )
    return GpuNode(settings.node.name, args)
