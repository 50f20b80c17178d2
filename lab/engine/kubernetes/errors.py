"""What can go wrong between the plugin and the cluster.

ProviderFault               ends an operation; its text is what the user sees
├── KubeconfigInvalid       no cluster or no usable credentials in it
├── ClusterUnreachable      no connection to the API server
├── ApiFailed               the API server refused (HTTP status >= 400)
├── KindMissing             the server has no such kind
└── NotReady                the object is there, but failed or was not ready in time (kept in the state)
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.engine.kubernetes.wire import Object


class ProviderFault(Exception):
    """Ends an operation."""


class KubeconfigInvalid(ProviderFault):
    """A kubeconfig without a usable cluster or user."""


class ClusterUnreachable(ProviderFault):
    """The API server does not answer."""


class ApiFailed(ProviderFault):
    """The API server's own refusal: `code` is the HTTP status, `reason` Kubernetes's word for it."""

    def __init__(self, code: int, reason: str, message: str, details: Object) -> None:
        super().__init__(message)
        self.code, self.reason, self.details = code, reason, details

    @property
    def namespace_missing(self) -> bool:
        """Whether the object's namespace is not there (yet)."""
        return self.code == 404 and self.details.get("kind") == "namespaces"


class KindMissing(ProviderFault):
    """The server does not have the kind, or not in this version."""

    def __init__(self, api_version: str, kind: str) -> None:
        super().__init__(f'no matches for kind "{kind}" in version "{api_version}"')


class NotReady(ProviderFault):
    """The object exists, but is not as it should be; `live` is what the cluster has, `reasons` why."""

    def __init__(self, message: str, live: Object, reasons: Sequence[str]) -> None:
        super().__init__(message)
        self.live, self.reasons = live, list(reasons)
