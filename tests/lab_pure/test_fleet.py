"""What a fleet of lab nodes refuses before anything is started, and which labs are its clusters."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lab import fleet
from lab.cluster.control_plane import Ports
from lab.errors import LabRefused
from lab.lab import Lab, Record

PORTS = Ports(*range(40000, 40000 + len(Ports.__slots__)))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("TALOS_LAB_HOME", str(tmp_path))
    return Lab("fleet", tmp_path / "bin")


def test_a_lab_of_that_name_with_other_nodes_is_left_alone(lab: Lab) -> None:
    Record("10.5.0.0/24", PORTS, ("lab-1",), cluster=True).save(Lab("fleet-b", lab.binaries).paths.record)
    with pytest.raises(LabRefused, match=re.escape("lab 'fleet-b' has the nodes lab-1")):
        fleet.start(lab, [2, 1], print)
    assert lab.record is None, "something was made before it was refused"


def test_more_clusters_than_there_are_names_are_refused(lab: Lab) -> None:
    with pytest.raises(LabRefused, match="9 clusters are more than 8"):
        fleet.start(lab, [1] * 9, print)


def test_the_clusters_of_a_fleet_are_the_labs_that_it_has_made(lab: Lab) -> None:
    assert [one.paths.name for one in fleet.clusters(lab)] == ["fleet"]
    lab.paths.root.mkdir(parents=True)
    (lab.paths.root / "clusters.json").write_text(json.dumps(["fleet-b"]))
    assert [one.paths.name for one in fleet.clusters(lab)] == ["fleet", "fleet-b"]
