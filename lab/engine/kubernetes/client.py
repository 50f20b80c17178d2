"""One API server: where objects lie, requests, and the server's errors."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import httpx

from lab.engine.kubernetes.errors import ApiFailed, ClusterUnreachable, KindMissing
from lab.engine.kubernetes.kubeconfig import Access
from lab.engine.kubernetes.objects import api_version_of, is_cluster_scoped, kind_of, name_of, namespace_of
from lab.engine.kubernetes.wire import Object

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)  # seconds


class Cluster:
    """An API server. Thread-safe."""

    def __init__(self, access: Access) -> None:
        self._http = httpx.Client(
            base_url=access.server,
            headers={**access.headers(), "Accept": "application/json", "User-Agent": "talos-nvidia-cdi-lab"},
            verify=access.tls(),
            timeout=_TIMEOUT,
            trust_env=False,
            limits=httpx.Limits(max_connections=32),
        )
        self._kinds: dict[str, dict[str, Object]] = {}
        self._lock = threading.Lock()

    def probe(self) -> None:
        """Reach the server once, with the credentials.

        Raises:
            ClusterUnreachable: no connection.
            ApiFailed: the credentials are refused.
        """
        self._known_kinds("v1")

    def kind(self, api_version: str, kind: str) -> Object:
        """The server's description of a kind (APIResource).

        Raises:
            KindMissing: the server has no such kind.
        """
        found = self._known_kinds(api_version).get(kind)
        if found is None:
            with self._lock:
                self._kinds.pop(api_version, None)  # a CRD may bring it later
            raise KindMissing(api_version, kind)
        return found

    def namespaced(self, api_version: str, kind: str) -> bool:
        """Whether objects of the kind live in namespaces; by convention for kinds the server does not have."""
        try:
            return bool(self.kind(api_version, kind)["namespaced"])
        except KindMissing:
            return not is_cluster_scoped(kind)

    def _known_kinds(self, api_version: str) -> dict[str, Object]:
        with self._lock:
            if api_version in self._kinds:
                return self._kinds[api_version]
        try:
            listed = self.request("GET", _group(api_version))
        except ApiFailed as fault:
            if fault.code != 404:
                raise
            return {}
        kinds = {item["kind"]: item for item in listed["resources"] if "/" not in item["name"]}
        with self._lock:
            self._kinds[api_version] = kinds
        return kinds

    def collection(self, api_version: str, kind: str, namespace: str = "") -> str:
        """The path of all objects of a kind."""
        found = self.kind(api_version, kind)
        where = f"/namespaces/{namespace or 'default'}" if found["namespaced"] else ""
        return f"{_group(api_version)}{where}/{found['name']}"

    def path(self, obj: Object) -> str:
        """The path of one object."""
        return f"{self.collection(api_version_of(obj), kind_of(obj), namespace_of(obj))}/{name_of(obj)}"

    def get(self, obj: Object) -> Object:
        """The object as it is now."""
        return self.request("GET", self.path(obj))

    def create(self, obj: Object, *, manager: str, dry_run: bool) -> Object:
        """Make it; ApiFailed 409 when it exists. Unknown fields are dropped by the server, as for the official one."""
        collection = self.collection(api_version_of(obj), kind_of(obj), namespace_of(obj))
        return self.request("POST", collection, obj, query=_query(manager, dry_run))

    def apply(self, obj: Object, *, manager: str, dry_run: bool, force: bool) -> Object:
        """Server-side apply."""
        query = {**_query(manager, dry_run), "force": json.dumps(force)}
        return self.request("PATCH", self.path(obj), obj, content_type=APPLY, query=query)

    def patch(self, obj: Object, operations: list[Object]) -> Object:
        """Apply JSON patch operations."""
        return self.request("PATCH", self.path(obj), operations, content_type=JSON_PATCH)

    def delete(self, obj: Object, propagation: str) -> None:
        """Ask for its deletion."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        self.request("DELETE", self.path(obj), options)

    def list(self, api_version: str, kind: str, namespace: str, **selectors: str) -> list[Object]:
        """Objects of a kind in a namespace; selectors are labelSelector and fieldSelector."""
        listed = self.request("GET", self.collection(api_version, kind, namespace), query=selectors)
        return [{**item, "apiVersion": api_version, "kind": kind} for item in listed.get("items") or []]

    def text(self, path: str, query: Mapping[str, str]) -> str:
        """A plain-text answer, such as a pod's log."""
        return self._send("GET", path, None, "application/json", query).text

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        """One request; the answer's JSON.

        Raises:
            ApiFailed, ClusterUnreachable.
        """
        answer: Object = self._send(method, path, body, content_type, query).json()
        return answer

    def _send(
        self, method: str, path: str, body: object, content_type: str, query: Mapping[str, str] | None
    ) -> httpx.Response:
        content = None if body is None else json.dumps(body)
        try:
            answer = self._http.request(
                method, path, content=content, params=dict(query or {}), headers={"Content-Type": content_type}
            )
        except httpx.HTTPError as fault:
            raise ClusterUnreachable(f'{method} "{self._http.base_url}{path}": {fault}') from fault
        if answer.status_code >= 400:
            raise _failure(answer)
        return answer


def _failure(answer: httpx.Response) -> ApiFailed:
    try:
        status: dict[str, Any] = answer.json()
    except ValueError:
        status = {"message": answer.text}
    details = status.get("details") or {}
    return ApiFailed(
        answer.status_code, str(status.get("reason", "")), str(status.get("message") or answer.reason_phrase), details
    )


def _query(manager: str, dry_run: bool) -> dict[str, str]:
    return {"fieldManager": manager, "fieldValidation": "Warn", **({"dryRun": "All"} if dry_run else {})}


def _group(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
