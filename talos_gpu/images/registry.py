"""What a registry has, by the OCI distribution API: GET or HEAD /v2/NAME/manifests/TAG, with a token if one is wanted.

Sources: OCI distribution-spec 1.1 (pulling manifests, Docker-Content-Digest), the distribution project's token
authentication (`WWW-Authenticate: Bearer realm=...,service=...,scope=...`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from email.message import Message
from http.client import HTTPException
from typing import Literal
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from talos_gpu.images.errors import ImageNotFound, RegistryRefused, RegistryUnreachable
from talos_gpu.images.reference import Reference, is_loopback

ACCEPT = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
"""An index first: its digest holds for every architecture."""
TIMEOUT_S = 20.0
_LARGEST = 4 << 20
"""Bytes: what the distribution-spec lets a manifest have at least, and registries at most."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


def digest_of(reference: Reference, *, timeout_s: float = TIMEOUT_S) -> str:
    """The digest (`sha256:...`) to which the reference's tag points now.

    The manifest is fetched and hashed, so the digest is that of what the registry serves, whatever its header says.
    Raises RegistryUnreachable, RegistryRefused or ImageNotFound.
    """
    return _Lookup(reference, timeout_s).digest()


def require(reference: Reference, *, timeout_s: float = TIMEOUT_S) -> None:
    """Return if the registry has the image (its digest if it has one, else its tag): HEAD, which counts as no pull.

    Raises RegistryUnreachable, RegistryRefused or ImageNotFound.
    """
    _Lookup(reference, timeout_s).manifest(reference.digest or reference.tag, "HEAD")


class _Lookup:
    def __init__(self, reference: Reference, timeout_s: float) -> None:
        self._reference, self._timeout_s = reference, timeout_s
        self._opener = OpenerDirector()
        for handler in (
            ProxyHandler(),  # http and https alone: a realm or redirect to file: or ftp: finds no handler
            HTTPHandler(),
            HTTPSHandler(),
            HTTPRedirectHandler(),
            HTTPErrorProcessor(),
            HTTPDefaultErrorHandler(),
        ):
            self._opener.add_handler(handler)

    def digest(self) -> str:
        answer, said = self.manifest(self._reference.tag or self._reference.digest, "GET")
        digest = f"sha256:{hashlib.sha256(answer).hexdigest()}"
        claimed = str(said.get("Docker-Content-Digest") or digest)
        if _DIGEST.fullmatch(claimed) and claimed != digest:
            raise self._no(f"it serves a manifest with digest {digest} and calls it {claimed}")
        if not _is_manifest(answer):
            raise self._no("its answer is no image manifest")
        return digest

    def manifest(self, name: str, method: Literal["GET", "HEAD"]) -> tuple[bytes, Message]:
        url = f"{self._reference.base}/v2/{self._reference.repository}/manifests/{name}"
        headers = {"Accept": ", ".join(ACCEPT)}
        try:
            return self._get(url, headers, method=method)
        except HTTPError as error:
            if error.code != 401:
                raise self._refused(error) from None
            error.close()
            token = self._token(str(error.headers.get("WWW-Authenticate") or ""))
        try:
            return self._get(url, headers, token, method)
        except HTTPError as error:
            raise self._refused(error) from None

    def _token(self, challenge: str) -> str:
        scheme, _, rest = challenge.partition(" ")
        parameters = dict(_PARAMETER.findall(rest))
        realm = urlsplit(parameters.pop("realm", ""))
        if scheme.lower() != "bearer" or not realm.netloc:
            raise self._no(f"it wants a login ({scheme or 'no scheme named'})")
        if realm.scheme != "https" and not is_loopback(realm.netloc):
            raise self._no(f"its tokens come from {realm.scheme}://{realm.netloc}, which is not https")
        asked = {"scope": f"repository:{self._reference.repository}:pull", **parameters}
        url = realm._replace(query="&".join(filter(None, (realm.query, urlencode(asked))))).geturl()
        try:
            answer, _ = self._get(url, {})
        except HTTPError as error:
            raise self._refused(error) from None
        try:
            document = json.loads(answer)
            token = document.get("token") or document.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if not isinstance(token, str):
            raise self._no("its token service answers without a token")
        return token

    def _get(self, url: str, headers: Mapping[str, str], token: str = "", method: str = "GET") -> tuple[bytes, Message]:
        request = Request(url, headers=dict(headers), method=method)  # noqa: S310 - the opener knows http and https only
        if token:
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                body = answer.read(_LARGEST + 1)
                if len(body) > _LARGEST:
                    raise self._no("its answer is larger than a manifest may be")
                return body, answer.headers
        except HTTPError:
            raise
        except (URLError, OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise RegistryUnreachable(self._reference.written, urlsplit(url).netloc, str(reason)) from None

    def _refused(self, error: HTTPError) -> ImageNotFound | RegistryRefused:
        with error:
            if error.code == 404:
                return ImageNotFound(self._reference.written, self._reference.domain)
            return self._no(f"{error.code} {error.reason}")

    def _no(self, said: str) -> RegistryRefused:
        return RegistryRefused(self._reference.written, self._reference.domain, said)


def _is_manifest(answer: bytes) -> bool:
    try:
        return "schemaVersion" in json.loads(answer)
    except (ValueError, TypeError):
        return False
