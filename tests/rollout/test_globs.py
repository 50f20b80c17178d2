"""Globs and names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from talos_gpu.rollout.globs import Globs, Names

NAMES = st.text("ab1-", min_size=1, max_size=4)
GLOBS = st.text("ab1-*?[]!", min_size=1, max_size=5)


@given(st.lists(NAMES, unique=True), st.lists(GLOBS, max_size=4))
def test_all_names_at_once_are_matched_as_each_alone(names: list[str], globs: list[str]) -> None:
    alone = Globs(globs)
    assert Names(names).matching(globs) == [name for name in names if name in alone]


def test_a_glob_matches_what_begins_as_it_does() -> None:
    names = Names(["b2", "a10", "a1", "b1", "a[1]"])
    assert names.matching(["a?", "b1", "a[1]", "z*"]) == ["a1", "b1", "a[1]"]
    assert names.matching(["*1*"]) == ["a10", "a1", "b1", "a[1]"]
    assert names.matching([]) == []
