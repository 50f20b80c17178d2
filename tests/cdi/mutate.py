"""Specs for the differential test: a valid one, changed in ways that hit the library's rules and YAML's corners."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Sequence
from typing import Any

import yaml

from tests.cdi.mutate_words import NAMES, VERSIONS, WORDS, WRITTEN

BASE: dict[str, Any] = {
    "cdiVersion": "1.0.0",
    "kind": "nvidia.com/gpu",
    "annotations": {"a.b/c": "d"},
    "devices": [
        {
            "name": "0",
            "annotations": {"x": "y"},
            "containerEdits": {
                "deviceNodes": [
                    {
                        "path": "/dev/nvidia0",
                        "hostPath": "/dev/nvidia0",
                        "type": "c",
                        "major": 195,
                        "minor": 255,
                        "fileMode": 438,
                        "permissions": "rwm",
                        "uid": 0,
                        "gid": 44,
                    }
                ]
            },
        },
        {"name": "all", "containerEdits": {"env": ["A=b"], "additionalGids": [44, 0]}},
    ],
    "containerEdits": {
        "env": ["NVIDIA_VISIBLE_DEVICES=void"],
        "hooks": [
            {
                "hookName": "createContainer",
                "path": "/usr/local/bin/nvidia-cdi-hook",
                "args": ["nvidia-cdi-hook", "chmod"],
                "env": ["NVIDIA_CTK_DEBUG=false"],
                "timeout": 5,
            }
        ],
        "mounts": [{"hostPath": "/a", "containerPath": "/b", "options": ["ro", "bind"], "type": "bind"}],
        "intelRdt": {
            "closID": "c",
            "l3CacheSchema": "L3:0=f",
            "memBwSchema": "MB:0=1",
        },
    },
}
# what only one of the two releases knows
OLD: dict[str, Any] = {"intelRdt": {"closID": "c", "enableCMT": True, "enableMBM": False}}
NEW: dict[str, Any] = {
    "netDevices": [{"hostInterfaceName": "eno1", "name": "eth0"}, {"hostInterfaceName": "eno2", "name": "eth1"}],
    "intelRdt": {"closID": "/", "schemata": ["L3:0=f"], "enableMonitoring": True},
}


class Mutator:
    """Makes one text of a seed, or of another source of chance; `seeds` are parsed specs to start from now and then."""

    def __init__(self, seed: int | random.Random, seeds: Sequence[Any] = ()) -> None:
        self.random = random.Random(seed) if isinstance(seed, int) else seed
        self.seeds = seeds
        self.written: dict[str, str] = {}

    def data(self) -> bytes:
        """The text in bytes, now and then in UTF-16 or with junk in them."""
        text, pick = self.text(), self.random
        match pick.randrange(60):
            case 0:
                return ("\ufeff" + text).encode(pick.choice(("utf-16-le", "utf-16-be")))
            case 1:
                data = text.encode()
                at = pick.randrange(len(data) + 1)
                return data[:at] + pick.choice((b"\xff", b"\xc3\x28", b"\0", b"\xed\xa0\x80", b"\x1b\x9b")) + data[at:]
            case 2:
                return pick.randbytes(pick.randrange(200))
            case _:
                return text.encode()

    def text(self) -> str:
        spec = copy.deepcopy(BASE)
        if self.seeds and self.random.random() < 0.1:
            spec = copy.deepcopy(self.random.choice(self.seeds))
        elif self.random.random() < 0.15:
            spec["cdiVersion"] = "1.1.0"
            place = self.random.choice((spec, spec["devices"][1]))
            place["containerEdits"].update(copy.deepcopy(NEW))
        elif self.random.random() < 0.1:
            spec["containerEdits"].update(copy.deepcopy(OLD))
        self._prune(spec)
        for _ in range(self.random.choice((0, 0, 0, 1, 1, 1, 2))):
            self._change(spec)
        text = self._dump(spec)
        for token, written in self.written.items():
            text = re.sub(rf"[\"']?{token}[\"']?", written.replace("\\", "\\\\"), text)
        if self.random.random() < 0.2:
            text = self._edit(text)
        return text

    def _dump(self, spec: dict[str, Any]) -> str:
        match self.random.randrange(4):
            case 0:
                return json.dumps(spec)
            case 1:
                return "---\n" + yaml.safe_dump(spec, default_flow_style=None, sort_keys=False)
            case 2:
                return yaml.safe_dump(spec, default_flow_style=False, width=10**6) + "# end\n"
            case _:
                return yaml.safe_dump(spec, default_flow_style=False, indent=4, default_style='"')

    def _prune(self, node: Any) -> None:
        """Leaves out optional parts."""
        if isinstance(node, dict):
            for key in list(node):
                needed = ("cdiVersion", "kind", "devices", "name", "path", "hookName", "hostPath", "containerPath")
                if (
                    key not in needed
                    and self.random.random() < 0.15
                    and not (key == "containerEdits" and "name" in node)
                ):
                    del node[key]
                else:
                    self._prune(node[key])
        elif isinstance(node, list):
            for item in node:
                self._prune(item)

    def _places(self, node: Any) -> list[tuple[Any, Any]]:
        found: list[tuple[Any, Any]] = []
        items = (
            list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
        )
        for key, value in items:
            found.append((node, key))
            found += self._places(value)
        return found

    def _token(self, written: str) -> str:
        token = f"tOkEn{len(self.written)}x"
        self.written[token] = written
        return token

    def _change(self, spec: dict[str, Any]) -> None:
        pick = self.random
        parent, key = pick.choice(self._places(spec))
        match pick.randrange(10):
            case 0 | 1:
                parent[key] = self._token(pick.choice(WRITTEN))
            case 2:
                parent[key] = pick.choice(WORDS)
            case 3:
                del parent[key]
            case 4 if isinstance(parent, dict):
                parent[pick.choice(NAMES)] = parent.pop(key)
            case 5 if isinstance(parent, dict):
                parent[pick.choice(NAMES)] = pick.choice(("x", 1, None, [], {}))
            case 6 if isinstance(parent, list):
                parent.append(copy.deepcopy(parent[key]))
            case 7:
                spec["cdiVersion"] = pick.choice(VERSIONS)
            case 8:
                self._multiply(spec)
            case _:
                if isinstance(parent, dict) and "name" in parent:
                    parent["name"] = pick.choice(WORDS)

    def _multiply(self, spec: dict[str, Any]) -> None:
        """Makes many values of few, about where go-yaml's guard begins to refuse: by aliases, or by merge keys."""
        pick = self.random
        devices = spec.get("devices")
        if pick.random() < 0.5 or not isinstance(devices, list):
            merged = "&m0 {}"
            for depth in range(1, pick.randrange(2, 16)):
                merged = f"&m{depth} {{<<: [{merged}, *m{depth - 1}]}}"
            spec["annotations"] = self._token(merged)
            return
        env = ", ".join(f"A{number}=b" for number in range(pick.choice((50, 300, 420, 600))))
        edits = self._token(f"&e {{env: [{env}]}}")
        devices.append({"name": "first", "containerEdits": edits})
        again = self._token("*e")
        devices += ({"name": f"d{number}", "containerEdits": again} for number in range(pick.choice((2, 110, 200))))

    def _edit(self, text: str) -> str:
        """Changes the text itself: whole lines, anchors, aliases, merge keys, junk."""
        pick = self.random
        lines = text.split("\n")
        index = pick.randrange(len(lines))
        match pick.randrange(10):
            case 0:
                lines.insert(index, lines[index])
            case 1:
                del lines[index]
            case 2:
                lines[index] = re.sub(r": (\S+)$", r": &a \1", lines[index], count=1)
                lines.append("x: *a" if pick.random() < 0.3 else "# used nowhere")
            case 3:
                lines.append("<<: {kind: a/b}" if pick.random() < 0.5 else "<<: {annotations: {}}")
            case 4:
                lines += ["---", pick.choice(("a: b", "}{", "kind: x"))]
            case 5:
                lines.insert(index, pick.choice(("\t", "# remark", "%", "...", "}", "\u0001", "- a", "  ")))
            case 6:
                lines[0] = "\ufeff" + lines[0]
            case 7:
                return "\r\n".join(lines)
            case 8:
                return text[: pick.randrange(len(text) + 1)]
            case _:
                at = pick.randrange(len(text) + 1)
                return text[:at] + pick.choice(":{}[],&*#?|-<>=!%@`'\" \n\u00e9\u2028\u0085") + text[at:]
        return "\n".join(lines)
