"""The field types of the settings: what a name, an address, a version, a quantity, an image looks like.

Sources: names, RFC 1123 as Kubernetes checks it (apimachinery pkg/util/validation); quantities, apimachinery
pkg/api/resource/quantity.go; images, the distribution project's reference grammar; resources of a container and group
ids, Kubernetes pkg/apis/core/validation.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Callable
from typing import Annotated

from annotated_types import Ge
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from talos_gpu.settings.faults import did_you_mean

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_RE = re.compile(_LABEL)
_SUBDOMAIN_RE = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_TALOS_RE = re.compile(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?")
_DRIVER_RE = re.compile(r"\d{3}\.\d{2,3}(\.\d{2})?")
_QUANTITY_RE = re.compile(r"\+?(\d+(\.\d*)?|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|m|k|M|G|T|P|E|[eE][+-]?\d+)?")
_URL_RE = re.compile(r"https?://(?P<host>\[[0-9a-fA-F:.]+\]|[^\s/:@?#\[\]]+)(:(?P<port>\d{1,5}))?(/[^\s?#]*)?")
_COMPONENT = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_IMAGE_RE = re.compile(
    rf"(?P<name>([A-Za-z0-9][A-Za-z0-9.-]*(:\d{{1,5}})?/)?{_COMPONENT}(/{_COMPONENT})*)"
    r"(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_FLAG_RE = re.compile(r"--(?P<name>[a-z][a-z0-9-]*)(=[A-Za-z0-9_./:,@+-]+)?")
_OWN_FLAGS = frozenset(("output", "format", "nvidia-cdi-hook-path", "nvidia-ctk-path"))
"""Of the generator: where the spec goes, in which form, and who runs its hooks (cdi.hook)."""
_HIGHEST_PORT = 65535
_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_RESOURCE_RE = re.compile(
    rf"{'|'.join(_RESOURCES)}|hugepages-\d+[KMGTPE]i|"
    rf"{_LABEL}(\.{_LABEL})*/[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?"
)


def _fault(rule: str, message: str, remedy: str = "") -> PydanticCustomError:
    # braces are templates to pydantic: our sentences go in as values
    return PydanticCustomError("rule", "{message}", {"rule": rule, "message": message, "remedy": remedy})


def _rule(name: str, pattern: re.Pattern[str], message: str, remedy: str, longest: int = 0) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise _fault(name, message, remedy)
        if longest and len(value) > longest:
            raise _fault(name, f"is longer than {longest} characters", remedy)
        return value

    return check


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise _fault(
            "ip-address", "is not an IP address", "write an IPv4 or IPv6 address, such as 192.168.1.194"
        ) from None


def _host(value: str) -> str:
    name, _, port = (
        value.rpartition(":") if re.search(r"[^:]:\d+$", value) or value.startswith("[") else (value, "", "")
    )
    bare = name.strip("[]")
    try:
        ipaddress.ip_address(bare)
        known = True
    except ValueError:
        known = bool(_SUBDOMAIN_RE.fullmatch(bare)) and not re.fullmatch(r"[\d.]+", bare)
    if not known or (port and not 0 < int(port) <= _HIGHEST_PORT):
        raise _fault("host", "is not HOST or HOST:PORT", "write a name or an address, such as 192.168.1.190")
    return value


def _url(value: str) -> str:
    match = _URL_RE.fullmatch(value)
    if match is None or (match["port"] and not 0 < int(match["port"]) <= _HIGHEST_PORT):
        raise _fault("url", "is not an http or https URL", "write it like http://tdarr-server.media.svc:8266")
    return value


def _image(value: str) -> str:
    match = _IMAGE_RE.fullmatch(value)
    if match is None:
        raise _fault(
            "image",
            "is not an image reference",
            "write NAME:TAG or NAME@sha256:DIGEST, such as docker.io/library/debian:12-slim",
        )
    if not (match["tag"] or match["digest"]):
        raise _fault("image", "has neither tag nor digest", "name the tag, better the digest")
    return value


def pinned(image: str) -> bool:
    """Whether an image is named by digest."""
    match = _IMAGE_RE.fullmatch(image)
    return match is not None and match["digest"] is not None


def _resource(value: str) -> str:
    if not _RESOURCE_RE.fullmatch(value):
        near = did_you_mean(value, _RESOURCES)
        known = f"known: {', '.join(_RESOURCES)}, hugepages-SIZE, and others with their domain: nvidia.com/gpu"
        remedy = f"{near} {known}" if near.startswith("did") else known
        raise PydanticCustomError(
            "resource", "{message}", {"message": "is not a resource's name", "remedy": remedy, "whole": True}
        )
    return value


def _absolute(value: str) -> str:
    if not value.startswith("/") or posixpath.normpath(value) != value.rstrip("/") or "\n" in value or ":" in value:
        raise _fault("absolute-path", "is not an absolute path in plain form", "write it like /media, without `..`")
    return value.rstrip("/") or "/"


def _generator_flag(value: str) -> str:
    # plain characters only: the installer's shell splits them into words
    match = _FLAG_RE.fullmatch(value)
    if match is None:
        raise _fault("generator-flag", "is not a flag", "write --NAME or --NAME=VALUE, such as --mode=nvml")
    if match["name"] in _OWN_FLAGS:
        raise _fault("generator-flag", f"is a flag that this program sets: --{match['name']}", "take it out")
    return value


def _not_blank(value: str) -> str:
    if not value.strip() or value != value.strip() or not value.isprintable():
        raise _fault("text", "is empty, or has blanks around it or control characters in it")
    return value


Name = Annotated[
    str,
    AfterValidator(
        _rule("rfc1123-label", _LABEL_RE, "is not an RFC 1123 label", "use a-z, 0-9 and - in the middle only", 63)
    ),
]
NodeName = Annotated[
    str,
    AfterValidator(
        _rule(
            "rfc1123-subdomain",
            _SUBDOMAIN_RE,
            "is not an RFC 1123 subdomain",
            "use the node's name as `kubectl get nodes` shows it",
            63,
        )
    ),
]
Address = Annotated[str, AfterValidator(_address)]
Host = Annotated[str, AfterValidator(_host)]
Url = Annotated[str, AfterValidator(_url)]
TalosVersion = Annotated[
    str,
    AfterValidator(_rule("talos-version", _TALOS_RE, "is not a Talos version", "write it with the v, such as v1.11.1")),
]
DriverVersion = Annotated[
    str,
    AfterValidator(_rule("driver-version", _DRIVER_RE, "is not an NVIDIA driver version", "such as 535.247.01")),
]
Quantity = Annotated[
    str,
    AfterValidator(
        _rule("quantity", _QUANTITY_RE, "is not a Kubernetes quantity", "such as 500m, 2, 512Mi or 10Gi (quoted)")
    ),
]
Image = Annotated[str, AfterValidator(_image)]
ResourceName = Annotated[str, AfterValidator(_resource)]
GroupId = Annotated[int, Ge(0)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
GeneratorFlag = Annotated[str, AfterValidator(_generator_flag)]
Text = Annotated[str, AfterValidator(_not_blank)]
