"""CDI specs: read as containerd's own library reads them, patched by splice, compared by meaning, found in folders.

Pure but for `resolve`, which reads folders: text in, values out. A name's module is imported when the name is first
asked for, since the command is made for pipes.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from talos_gpu.cdi.advice import Remark as Remark
    from talos_gpu.cdi.advice import remarks as remarks
    from talos_gpu.cdi.compare import (
        Change as Change,
    )
    from talos_gpu.cdi.compare import (
        ChangeKind as ChangeKind,
    )
    from talos_gpu.cdi.compare import (
        Place as Place,
    )
    from talos_gpu.cdi.compare import (
        diff as diff,
    )
    from talos_gpu.cdi.compare import (
        diff_of as diff_of,
    )
    from talos_gpu.cdi.errors import (
        CdiError as CdiError,
    )
    from talos_gpu.cdi.errors import (
        FactsUnclear as FactsUnclear,
    )
    from talos_gpu.cdi.errors import (
        HookPathUnknown as HookPathUnknown,
    )
    from talos_gpu.cdi.errors import (
        KindUnexpected as KindUnexpected,
    )
    from talos_gpu.cdi.errors import (
        PatchUnsafe as PatchUnsafe,
    )
    from talos_gpu.cdi.errors import (
        SpecFault as SpecFault,
    )
    from talos_gpu.cdi.errors import (
        SpecInvalid as SpecInvalid,
    )
    from talos_gpu.cdi.errors import (
        SpecUnreadable as SpecUnreadable,
    )
    from talos_gpu.cdi.folders import resolve as resolve
    from talos_gpu.cdi.model import (
        ContainerEdits as ContainerEdits,
    )
    from talos_gpu.cdi.model import (
        Device as Device,
    )
    from talos_gpu.cdi.model import (
        DeviceNode as DeviceNode,
    )
    from talos_gpu.cdi.model import (
        Hook as Hook,
    )
    from talos_gpu.cdi.model import (
        IntelRdt as IntelRdt,
    )
    from talos_gpu.cdi.model import (
        Mount as Mount,
    )
    from talos_gpu.cdi.model import (
        NetDevice as NetDevice,
    )
    from talos_gpu.cdi.model import (
        Spec as Spec,
    )
    from talos_gpu.cdi.needs import (
        SpecFacts as SpecFacts,
    )
    from talos_gpu.cdi.needs import (
        facts as facts,
    )
    from talos_gpu.cdi.needs import (
        facts_file as facts_file,
    )
    from talos_gpu.cdi.needs import (
        facts_of as facts_of,
    )
    from talos_gpu.cdi.patching import Patched as Patched
    from talos_gpu.cdi.patching import patch as patch
    from talos_gpu.cdi.patching import sha256 as sha256
    from talos_gpu.cdi.registry import (
        FOLDERS as FOLDERS,
    )
    from talos_gpu.cdi.registry import (
        Conflict as Conflict,
    )
    from talos_gpu.cdi.registry import (
        File as File,
    )
    from talos_gpu.cdi.registry import (
        Folder as Folder,
    )
    from talos_gpu.cdi.registry import (
        Given as Given,
    )
    from talos_gpu.cdi.registry import (
        Loaded as Loaded,
    )
    from talos_gpu.cdi.registry import (
        Resolution as Resolution,
    )
    from talos_gpu.cdi.registry import (
        State as State,
    )
    from talos_gpu.cdi.registry import (
        ignored_because as ignored_because,
    )
    from talos_gpu.cdi.registry import (
        resolution as resolution,
    )
    from talos_gpu.cdi.report import as_json as as_json
    from talos_gpu.cdi.report import render as render
    from talos_gpu.cdi.report import render_markdown as render_markdown
    from talos_gpu.cdi.schema import Library as Library
    from talos_gpu.cdi.spec import faults as faults
    from talos_gpu.cdi.spec import parse as parse
    from talos_gpu.cdi.stale import Check as Check
    from talos_gpu.cdi.stale import Finding as Finding
    from talos_gpu.cdi.stale import HostFacts as HostFacts
    from talos_gpu.cdi.stale import freshness as freshness
    from talos_gpu.cdi.strategy import Strategy as Strategy
    from talos_gpu.cdi.text import SpecText as SpecText
    from talos_gpu.cdi.text import decode as decode

_HOMES = MappingProxyType(
    {
        "compare": (
            "Change",
            "ChangeKind",
            "Place",
            "diff",
            "diff_of",
        ),
        "errors": (
            "CdiError",
            "FactsUnclear",
            "HookPathUnknown",
            "KindUnexpected",
            "PatchUnsafe",
            "SpecFault",
            "SpecInvalid",
            "SpecUnreadable",
        ),
        "needs": (
            "SpecFacts",
            "facts",
            "facts_file",
            "facts_of",
        ),
        "folders": ("resolve",),
        "stale": (
            "Check",
            "Finding",
            "HostFacts",
            "freshness",
        ),
        "model": (
            "ContainerEdits",
            "Device",
            "DeviceNode",
            "Hook",
            "IntelRdt",
            "Mount",
            "NetDevice",
            "Spec",
        ),
        "patching": (
            "Patched",
            "patch",
            "sha256",
        ),
        "advice": (
            "Remark",
            "remarks",
        ),
        "report": (
            "as_json",
            "render",
            "render_markdown",
        ),
        "registry": (
            "FOLDERS",
            "Conflict",
            "File",
            "Folder",
            "Given",
            "Loaded",
            "Resolution",
            "State",
            "ignored_because",
            "resolution",
        ),
        "schema": ("Library",),
        "spec": (
            "faults",
            "parse",
        ),
        "strategy": ("Strategy",),
        "text": (
            "SpecText",
            "decode",
        ),
    }
)
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names above
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    return value
