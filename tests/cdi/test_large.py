"""Large specs: time and memory grow with the spec, and the collector is as it was."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time

import pytest

import talos_gpu.cdi
from talos_gpu.cdi import CdiError, Strategy, faults, parse, patch
from tests.cdi.command import ROOT
from tests.cdi.many_hooks import many_hooks

PATCHES = """
import re, sys
from pathlib import Path
from talos_gpu.cdi import Strategy, patch
from tests.cdi.command import ROOT
from tests.cdi.many_hooks import many_hooks
patch(many_hooks(int(sys.argv[1])), Strategy.REAL)
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def peak(count: int) -> int:
    """kB that a process holds at the highest which patches that many hooks."""
    command = [sys.executable, "-c", PATCHES, str(count)]
    return int(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout)


def test_memory_is_linear_up_to_ten_thousand_hooks() -> None:
    least = peak(1)
    assert (peak(10_000) - least) / 10_000 < 1.3 * (peak(1000) - least) / 1000


HEAD = "cdiVersion: 0.6.0\nkind: nvidia.com/gpu\ndevices:\n"
BOUND_S = 30
"""Each takes a fraction of a second, and without the guard many times this."""


def bomb_of_lists() -> str:
    """A thousand hooks, with a thousand arguments and a thousand variables each, twice: all of it is decoded."""
    lines = [
        HEAD + "- &d",
        "  name: a",
        "  containerEdits: &c",
        "    env: &e [" + "A=b, " * 1000 + "]",
        "    hooks:",
        "    - &h {hookName: prestart, path: /a, args: *e, env: *e}",
        *["    - *h"] * 1000,
        "containerEdits: *c",
    ]
    return "\n".join(lines)


def bomb_of_merges(depth: int) -> str:
    """A mapping that is merged twice into one that is merged twice, and so on: 500 characters for a depth of 20."""
    merged = "&m0 {}"
    for level in range(1, depth):
        merged = f"&m{level} {{<<: [{merged}, *m{level - 1}]}}"
    return HEAD + f"- {{name: a, annotations: {merged}, containerEdits: {{env: [A=b]}}}}\n"


@pytest.mark.parametrize("text", [bomb_of_lists(), bomb_of_merges(30)], ids=["aliases", "merge keys"])
def test_an_alias_bomb_in_known_fields_is_refused_at_once(text: str) -> None:
    began = time.monotonic()
    [fault] = faults(text)
    assert (fault.rule, fault.message) == ("yaml-alias", "document contains excessive aliasing")
    assert time.monotonic() - began < BOUND_S


def test_a_long_chain_of_merge_keys_is_followed_to_its_end() -> None:
    links = (f"- {{name: n{n}, annotations: &m{n} {{<<: *m{n - 1}}}, containerEdits: *e}}\n" for n in range(1, 600))
    first = "- {name: n0, annotations: &m0 {a: b}, containerEdits: &e {env: [A=b]}}\n"
    spec = parse(HEAD + first + "".join(links))
    assert spec.devices[-1].annotations == (("a", "b"),)


@pytest.mark.parametrize("text", [many_hooks(1), "}", "foo: 1\n"])
def test_the_collector_goes_on_afterwards(text: str) -> None:
    assert gc.isenabled()
    for function in (parse, faults, lambda text: patch(text, Strategy.REAL)):
        try:
            function(text)
        except CdiError:
            assert text != many_hooks(1)
        assert gc.isenabled()


def test_a_paused_collector_stays_paused() -> None:
    gc.disable()
    try:
        parse(many_hooks(1))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_threads_do_not_leave_it_off() -> None:
    text = many_hooks(20)
    threads = [threading.Thread(target=lambda: [parse(text) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gc.isenabled()


def test_every_public_name_is_there() -> None:
    names = [name for names in talos_gpu.cdi._HOMES.values() for name in names]
    assert len(names) == len(set(names))
    assert [name for name in names if getattr(talos_gpu.cdi, name, None) is None] == []
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = talos_gpu.cdi.nothing
