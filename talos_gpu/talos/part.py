"""The containerd part /etc/cri/conf.d/20-customization.part: render ours, compare with another.

Talos merges all *.part files into containerd's config, tables key by key and arrays concatenated (v1.11.1), so a part
holds no more than what it changes.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from talos_gpu.talos.releases import CRI_SECTION_1, ReleaseFacts

PART_PATH = "/etc/cri/conf.d/20-customization.part"
RUNTIME = "nvidia-cdi"
"""The containerd runtime's name, which a RuntimeClass names as its handler."""
RUNTIME_BINARY = "/usr/local/bin/nvidia-container-runtime.cdi"
CDI_SPEC_DIRS = ("/etc/cdi", "/var/run/cdi")
"""containerd lets the last folder win, so /var/cdi, where the unpatched source lies, must not be one of them."""

_LAST_WINS = "cdi_spec_dirs"


def part_toml(release: ReleaseFacts, *, default_runtime: bool) -> str:
    """Return the part's text: the CDI folders, the runtime, and with `default_runtime` that every pod uses it."""
    section = f'plugins."{release.cri_section}"'
    dirs = ", ".join(json.dumps(folder) for folder in CDI_SPEC_DIRS)
    lines = [f"[{section}]"]
    if release.cri_section == CRI_SECTION_1:
        lines.append("  enable_cdi = true")
    lines.append(f"  cdi_spec_dirs = [{dirs}]")
    if default_runtime:
        lines += [f"  [{section}.containerd]", f'    default_runtime_name = "{RUNTIME}"']
    lines += [
        f"  [{section}.containerd.runtimes.{RUNTIME}]",
        '    runtime_type = "io.containerd.runc.v2"',
        f"    [{section}.containerd.runtimes.{RUNTIME}.options]",
        f'      BinaryName = "{RUNTIME_BINARY}"',
    ]
    return "\n".join(lines) + "\n"


def part_differences(want: str, have: str) -> list[str]:
    """Return what `have` lacks of `want`, a clause per key ("KEY is X, wanted Y"); both are TOML text.

    More keys in `have` are no difference; an array must hold ours in our order, and in `cdi_spec_dirs` our last folder
    must stay the last. Text that is no TOML is one difference.
    """
    try:
        found = tomllib.loads(have)
    except tomllib.TOMLDecodeError as error:
        return [f"it is no TOML: {error}"]
    return list(_differences(tomllib.loads(want), found, ()))


def _differences(want: Mapping[str, Any], have: Mapping[str, Any], path: tuple[str, ...]) -> Sequence[str]:
    found: list[str] = []
    for key, wanted in want.items():
        here = (*path, key)
        if key not in have:
            found += [
                f"{_dotted(leaf)} is not set, wanted {json.dumps(value)}" for leaf, value in _leaves(wanted, here)
            ]
        elif isinstance(wanted, dict) and isinstance(have[key], dict):
            found += _differences(wanted, have[key], here)
        elif not _holds(key, wanted, have[key]):
            found.append(f"{_dotted(here)} is {json.dumps(have[key], default=str)}, wanted {json.dumps(wanted)}")
    return found


def _holds(key: str, wanted: object, value: object) -> bool:
    if not (isinstance(wanted, list) and isinstance(value, list)):
        return type(wanted) is type(value) and wanted == value
    rest = iter(value)
    in_order = all(item in rest for item in wanted)
    return in_order and (key != _LAST_WINS or value[-1:] == wanted[-1:])


def _leaves(value: object, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], object]]:
    if not isinstance(value, dict):
        return [(path, value)]
    return [leaf for key, inner in value.items() for leaf in _leaves(inner, (*path, key))]


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(f'"{key}"' if "." in key else key for key in path)
