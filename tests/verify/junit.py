"""What CI servers take as JUnit XML: the rules of the Jenkins xUnit plugin's junit-10.xsd that concern us."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

_COUNTS = frozenset(("tests", "failures", "errors", "skipped"))
_ATTRIBUTES = {
    "testsuites": frozenset(("name", "time", "tests", "failures", "errors", "disabled")),
    "testsuite": frozenset(("name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname", "id")),
    "testcase": frozenset(("name", "classname", "time", "status", "assertions")),
    "failure": frozenset(("message", "type")),
    "error": frozenset(("message", "type")),
    "skipped": frozenset(("message", "type")),
    "system-out": frozenset[str](),
}
_REQUIRED = {"testsuite": frozenset(("name", "tests")), "testcase": frozenset(("name", "classname"))}
_CHILDREN = {
    "testsuites": frozenset(("testsuite",)),
    "testsuite": frozenset(("testcase",)),
    "testcase": frozenset(("failure", "error", "skipped", "system-out")),
}
_TIME = re.compile(r"\d+\.\d+")


def faults(text: str) -> list[str]:
    """Every rule that the document breaks, a sentence each."""
    root = ET.fromstring(text)
    found = [] if root.tag == "testsuites" else [f"the root is {root.tag}"]
    return [*found, *_element(root)]


def _element(element: ET.Element) -> Iterator[str]:
    tag, given = element.tag, set(element.keys())
    yield from (f"{tag} has an attribute {name}" for name in given - _ATTRIBUTES.get(tag, frozenset()))
    yield from (f"{tag} lacks {name}" for name in _REQUIRED.get(tag, frozenset()) - given)
    yield from (f"{tag}: {name} is no count" for name in given & _COUNTS if not element.attrib[name].isdecimal())
    if "time" in given and not _TIME.fullmatch(element.attrib["time"]):
        yield f"{tag}: time is {element.attrib['time']!r}"
    for child in element:
        if child.tag not in _CHILDREN.get(tag, frozenset()):
            yield f"{tag} has a child {child.tag}"
        yield from _element(child)
    if tag == "testsuite":
        yield from _sums(element)


def _sums(suite: ET.Element) -> Iterator[str]:
    counts = {"tests": len(suite), **{f"{kind}s": len(suite.findall(f"*/{kind}")) for kind in ("failure", "error")}}
    counts["skipped"] = len(suite.findall("*/skipped"))
    for name, count in counts.items():
        if int(suite.get(name, count)) != count:
            yield f"testsuite says {suite.get(name)} {name}, there are {count}"
