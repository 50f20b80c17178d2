"""CDI specs: read as containerd's own library reads them, patched by splice, compared by meaning.

Pure: text in, values out; where the text comes from and goes to is the caller's business.
"""

from talos_gpu.cdi.diff import Change, ChangeKind, diff, render
from talos_gpu.cdi.errors import CdiError, FactsUnclear, HookPathUnknown, PatchUnsafe, SpecFault, SpecInvalid
from talos_gpu.cdi.facts import SpecFacts, facts, facts_file, facts_of
from talos_gpu.cdi.model import ContainerEdits, Device, DeviceNode, Hook, IntelRdt, Mount, NetDevice, Spec
from talos_gpu.cdi.patch import Patched, Strategy, patch, sha256
from talos_gpu.cdi.schema import Library
from talos_gpu.cdi.spec import faults, parse

__all__ = [
    "CdiError",
    "Change",
    "ChangeKind",
    "ContainerEdits",
    "Device",
    "DeviceNode",
    "FactsUnclear",
    "Hook",
    "HookPathUnknown",
    "IntelRdt",
    "Library",
    "Mount",
    "NetDevice",
    "PatchUnsafe",
    "Patched",
    "Spec",
    "SpecFacts",
    "SpecFault",
    "SpecInvalid",
    "Strategy",
    "diff",
    "facts",
    "facts_file",
    "facts_of",
    "faults",
    "parse",
    "patch",
    "render",
    "sha256",
]
