"""Our part merged into one that is there already: Spegel, KubeVirt, a DRA driver, a metrics address share the file.

tomllib reads; tomlkit writes, because it keeps comments, order and spelling. What it wrote is read again by tomllib
and must be exactly the merged values: a form that tomlkit cannot edit (it has limits where one table is spread over
the file) is written anew. Comments that are lost so are reported.
"""

from __future__ import annotations

import copy
import posixpath
import tomllib
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Array

from talos_gpu.talos.part import CDI_SPEC_DIRS, RUNTIME, Difference, compare
from talos_gpu.talos.releases import CRI_SECTION_1, CRI_SECTION_2

SOURCE_DIR = "/var/cdi"
"""Where the generator's unpatched spec lies."""


@dataclass(frozen=True, slots=True)
class MergedPart:
    """The outcome: `text` is the part to write, or `clashes` say why there is none."""

    text: str
    changes: tuple[str, ...]
    """What was changed, a clause per key; empty if nothing was, and then `text` is the old one."""
    clashes: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def merge_part(want: str, have: str) -> MergedPart:
    """Merge `want` (from part_toml) into `have`, the text of the base's part: tables key by key, arrays as unions.

    An array keeps theirs in their order and gets ours after them; in `cdi_spec_dirs`, where the last folder wins, ours
    are moved behind theirs. Nothing of `have` is taken away.
    """
    try:
        found = tomllib.loads(have)
    except tomllib.TOMLDecodeError as error:
        return MergedPart(have, (), (f"it is no TOML: {error}",))
    wanted = tomllib.loads(want)
    differences = compare(wanted, found)
    if clashes := tuple(difference.sentence for difference in differences if difference.clashes):
        return MergedPart(have, (), clashes)
    expected = copy.deepcopy(found)
    for difference in differences:
        _put(expected, difference)
    warnings = _warnings(wanted, expected)
    if not differences:
        return MergedPart(have, (), (), warnings)
    text = _edited(have, differences)
    if text is None or not _reads_as(text, expected):
        text = tomlkit.dumps(expected)
    if text.count("#") < have.count("#"):
        warnings = (*warnings, "not all of its comments could be kept")
    return MergedPart(text, tuple(map(_change, differences)), (), warnings)


def left_over(have: str) -> tuple[str, ...]:
    """Return what `have`, the text of the base's part, holds for method spec: clauses, with what each does elsewhere.

    Text that is no TOML holds nothing.
    """
    try:
        plugins = tomllib.loads(have).get("plugins", {})
    except tomllib.TOMLDecodeError:
        return ()
    found = []
    for section in (CRI_SECTION_2, CRI_SECTION_1):
        about = _table(_table(plugins).get(section))
        containerd = _table(about.get("containerd"))
        if RUNTIME in _table(containerd.get("runtimes")):
            found.append(f"the runtime {RUNTIME}")
        if containerd.get("default_runtime_name") == RUNTIME:
            found.append(f"default_runtime_name {RUNTIME!r} (every pod of the node goes through that runtime)")
        folders = about.get("cdi_spec_dirs")
        if isinstance(folders, list) and SOURCE_DIR in folders:
            found.append(f"{SOURCE_DIR} in cdi_spec_dirs (the unpatched spec there is read too)")
    return tuple(dict.fromkeys(found))


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _edited(have: str, differences: Sequence[Difference]) -> str | None:
    ends = have if not have or have.endswith("\n") else have + "\n"
    try:
        document = tomlkit.parse(ends)
        for difference in differences:
            _put(document, difference)
        return tomlkit.dumps(document)
    except (TOMLKitError, KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None  # the caller writes the part anew


def _put(tables: MutableMapping[str, Any], difference: Difference) -> None:
    *parents, key = difference.path
    for depth, parent in enumerate(parents):
        if parent not in tables:
            branch: Any = difference.merged
            for name in reversed(difference.path[depth + 1 :]):
                branch = {name: branch}
            tables[parent] = branch
            return
        tables = tables[parent]
    if isinstance(present := tables.get(key), Array) and isinstance(difference.merged, list):
        _reorder(present, difference.merged)
    else:
        tables[key] = difference.merged


def _reorder(present: Array, merged: Sequence[Any]) -> None:
    """Make `present` hold `merged`; what can stay where it is keeps its comment."""
    places: list[int] = []
    for item in merged:
        after = places[-1] + 1 if places else 0
        place = next((index for index in range(after, len(present)) if present[index] == item), None)
        if place is None:
            break
        places.append(place)
    for index in reversed(range(len(present))):
        if index not in places:
            del present[index]
    present.extend(merged[len(places) :])


def _reads_as(text: str, expected: object) -> bool:
    try:
        return tomllib.loads(text) == expected
    except tomllib.TOMLDecodeError:
        return False


def _change(difference: Difference) -> str:
    if difference.found is None or not isinstance(difference.merged, list):
        return difference.sentence
    return Difference(difference.path, difference.found, difference.merged, None).sentence


def _warnings(wanted: dict[str, Any], merged: dict[str, Any]) -> tuple[str, ...]:
    found = []
    plugins = merged.get("plugins", {})
    if CRI_SECTION_2 in wanted["plugins"] and CRI_SECTION_1 in plugins:
        found.append(
            f"plugins.\"{CRI_SECTION_1}\" is containerd 1's section: this release's containerd does not read it"
        )
    for section, ours in wanted["plugins"].items():
        default = plugins[section].get("containerd", {}).get("default_runtime_name", "runc")
        if default != "runc" and "default_runtime_name" not in ours.get("containerd", {}):
            found.append(f"default_runtime_name is {default!r}: every pod of the node goes through that runtime")
        folders = [
            posixpath.normpath(folder) for folder in plugins[section]["cdi_spec_dirs"] if isinstance(folder, str)
        ]
        if SOURCE_DIR in folders:
            found.append(
                f"cdi_spec_dirs has {SOURCE_DIR}, where the unpatched spec lies: it stays, behind "
                f"{' and '.join(CDI_SPEC_DIRS)}, but better leaves the base"
            )
    return tuple(found)
