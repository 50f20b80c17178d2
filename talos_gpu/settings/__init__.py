"""The settings of a stack: one strict model, every fault at once."""

from talos_gpu.settings.cdi import Cdi
from talos_gpu.settings.faults import Fault, SettingsInvalid
from talos_gpu.settings.load import load, parse
from talos_gpu.settings.machine import Gpu, Machine, Node
from talos_gpu.settings.model import Settings
from talos_gpu.settings.tdarr import Namespace, Resources, Tdarr, Volume

__all__ = [
    "Cdi",
    "Fault",
    "Gpu",
    "Machine",
    "Namespace",
    "Node",
    "Resources",
    "Settings",
    "SettingsInvalid",
    "Tdarr",
    "Volume",
    "load",
    "parse",
]
