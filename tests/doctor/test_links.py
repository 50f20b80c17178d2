"""Sources lead somewhere: issues, files and pages that are named have an address."""

from __future__ import annotations

import re

import pytest

from talos_gpu.doctor.checks import CHECKS
from talos_gpu.doctor.known import ALL
from talos_gpu.doctor.links import links
from talos_gpu.verify.words import ALL as WORDS

SOURCES = sorted({one.source for one in CHECKS} | {one.source for one in ALL} | {one.cause.source for one in WORDS})


@pytest.mark.parametrize(
    ("source", "addresses"),
    [
        ("seen on an H100", ()),
        ("components/installer/host.sh", ()),
        (
            "libnvidia-container#176; reproduced by a test",
            ("https://github.com/NVIDIA/libnvidia-container/issues/176",),
        ),
        (
            "HaveAGitGat/Tdarr#797, HandBrake#6599",
            (
                "https://github.com/HaveAGitGat/Tdarr/issues/797",
                "https://github.com/HandBrake/HandBrake/issues/6599",
            ),
        ),
        (
            "CDI pkg/cdi/doc.go; the original write-up had it the other way",
            ("https://github.com/cncf-tags/container-device-interface/blob/main/pkg/cdi/doc.go",),
        ),
        ("CVE-2025-23266", ("https://nvd.nist.gov/vuln/detail/CVE-2025-23266",)),
        ("siderolabs/extensions#940", ("https://github.com/siderolabs/extensions/issues/940",)),
        ("siderolabs/extensions, 15-nvidia-device.rules", ("https://github.com/siderolabs/extensions",)),
        ("Kubernetes, Images", ("https://kubernetes.io/docs/concepts/containers/images/",)),
    ],
)
def test_what_a_source_names_has_an_address(source: str, addresses: tuple[str, ...]) -> None:
    assert links(source) == addresses


@pytest.mark.parametrize("source", SOURCES)
def test_every_issue_cve_and_page_of_kubernetes_that_is_named_has_one(source: str) -> None:
    named = re.findall(r"#\d+|CVE-|Kubernetes, |pkg/cdi/|libavcodec/|docs/cri/", source)
    assert len(links(source)) >= len(named), source
