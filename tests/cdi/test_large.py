"""Large specs: time and memory grow with the spec, and the collector is as it was."""

from __future__ import annotations

import gc
import threading
import tracemalloc

import pytest

import talos_gpu.cdi
from talos_gpu.cdi import CdiError, Strategy, faults, parse, patch
from tests.cdi.many_hooks import many_hooks


def peak(count: int) -> float:
    """Bytes a hook at the highest."""
    text = many_hooks(count)
    tracemalloc.start()
    patch(text, Strategy.REAL)
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return highest / count


def test_memory_is_linear() -> None:
    assert peak(1000) < 1.1 * peak(100)


def test_a_deep_alias_bomb_is_refused_at_once() -> None:
    lines = ["cdiVersion: 0.5.0", "kind: nvidia.com/gpu", "a: &a [x, x, x, x, x, x, x, x, x]"]
    for old, new in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{new}: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]")
    assert faults("\n".join(lines))


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
