"""A cluster, as far as it is needed outside Pulumi; thin over kr8s."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import httpx_ws
import kr8s.asyncio
from kr8s._exec import Exec
from kr8s.asyncio.objects import Pod

from talos_gpu.kube.errors import (
    ClusterRefused,
    ClusterUnreachable,
    ExecFailed,
    KubeconfigInvalid,
    KubeError,
    NodeNotReady,
    PodNotFound,
)
from talos_gpu.kube.kubeconfig import current_context, kubeconfig_files
from talos_gpu.kube.states import Event, ExecResult, NodeState, PodState, event, lacking, node_state, pod_state

_POLL = 0.5
"""Seconds between two looks at a node."""

_NOT_FOUND = 404
_EXIT_CODE = "exit code"
"""In the API server's message where the command ran and failed; other messages mean that it was not run."""


class Cluster:
    """`async with Cluster(kubeconfig) as cluster: ...`.

    `kubeconfig` is as in `kubeconfig_files`; `timeout`, in seconds, holds for each request.
    Entering raises KubeconfigInvalid, ClusterUnreachable or ClusterRefused, and so do the calls. With `connect` False
    entering only reads the kubeconfig: that saves a round trip where the first call tells soon enough.
    """

    def __init__(
        self,
        kubeconfig: str | Path | None = None,
        *,
        context: str | None = None,
        timeout: float = 10.0,
        connect: bool = True,
    ) -> None:
        self._files = kubeconfig_files(kubeconfig)
        self._origin = os.pathsep.join(map(str, self._files))
        self._context = context
        self._timeout = timeout
        self._connect = connect
        self._api: kr8s.asyncio.Api | None = None

    async def __aenter__(self) -> Self:
        if not any(file.is_file() for file in self._files):
            raise KubeconfigInvalid(self._origin, "no such file")
        # kr8s looks for the current context and its namespace in the first file only, kubectl in all of them
        context = self._context or current_context(self._files)
        try:
            async with asyncio.timeout(self._timeout):
                with warnings.catch_warnings():
                    # kr8s warns of Kubernetes newer than it was tested with; core/v1, all we use, does not change.
                    warnings.filterwarnings("ignore", "Kubernetes version .* is not supported", UserWarning)
                    # An instance of our own, not kr8s's shared one: we close it, also when this fails half-way.
                    self._api = kr8s.asyncio.Api(
                        kubeconfig=self._origin, context=context, namespace="default", bypass_factory=True
                    )
                    if self._connect:
                        await self._api
                    else:
                        await self._api.auth
                        # first calls that run concurrently would each make a session, and all but one stay open
                        await self._api._create_session()
        except Exception as error:
            await self._close()
            if isinstance(error, ValueError | KeyError | TypeError):
                raise KubeconfigInvalid(self._origin, str(error)) from None
            raise self._failure("connecting", error) from None
        self._api.timeout = self._timeout
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._api is not None and self._api._session is not None:  # kr8s has no way of its own to close
            await self._api._session.aclose()
        self._api = None

    async def node(self, name: str) -> NodeState | None:
        """Return a node, None if it is not registered."""
        found = await self._get(f"nodes/{name}")
        return node_state(found) if found is not None else None

    async def node_ready(self, name: str) -> bool:
        """Whether the node is registered and Ready."""
        node = await self.node(name)
        return node is not None and node.ready

    async def wait_node(
        self,
        name: str,
        labels: Mapping[str, str],
        seconds: float,
        *,
        boot_id_before: str | None = None,
    ) -> NodeState:
        """Wait until the node is Ready, has the labels, and, if `boot_id_before` is given, has booted since.

        An API server that does not answer meanwhile counts as "not yet". Raises NodeNotReady with what was last seen.
        """
        last_seen = "nothing"
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        node = await self.node(name)
                        last_seen = lacking(node, labels, boot_id_before)
                        if node is not None and not last_seen:
                            return node
                    except ClusterUnreachable as error:
                        last_seen = error.detail
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise NodeNotReady(name, seconds, last_seen) from None

    async def pods(self, selector: str, namespace: str | None = None) -> Sequence[PodState]:
        """Return the pods that a selector (`app=nvidia-cdi-init`) matches, in all namespaces unless one is named."""
        found = await self._get("pods", namespace, labelSelector=selector)
        return [pod_state(item) for item in (found or {}).get("items", [])]

    async def pod_events(self, namespace: str, name: str) -> Sequence[Event]:
        """Return the events about a pod, oldest first."""
        selector = f"involvedObject.kind=Pod,involvedObject.name={name}"
        found = await self._get("events", namespace, fieldSelector=selector)
        return sorted((event(item) for item in (found or {}).get("items", [])), key=lambda item: item.last)

    async def exec_in_pod(
        self, namespace: str, name: str, command: Sequence[str], *, container: str | None = None, seconds: float = 60.0
    ) -> ExecResult:
        """Run a command in a container (default: the pod's first) and return its exit code and output.

        Raises PodNotFound, or ExecFailed where it was not run or did not end within `seconds`.
        """
        try:
            async with asyncio.timeout(seconds):
                found = await self._pod(namespace, name)
                # kr8s copies all that it is given into boxes, and exec asks for no more than the name
                pod = Pod({"metadata": {"name": name, "namespace": namespace}}, api=self._opened)
                where = container or found["spec"]["containers"][0]["name"]
                # Not Pod.exec: that first waits until the pod is ready, and one that is not is what we look into.
                process = Exec(pod, list(command), container=where, check=True)
                await _finished(process)
        except KubeError:
            raise
        except TimeoutError:
            raise ExecFailed(namespace, name, f"not done within {seconds:g} s") from None
        except (kr8s.ExecError, httpx_ws.HTTPXWSException) as error:
            raise ExecFailed(namespace, name, str(error) or type(error).__name__) from None
        except Exception as error:
            raise self._failure(f"exec in pod {namespace}/{name}", error) from None
        return ExecResult(
            process.returncode, process.stdout.decode(errors="replace"), process.stderr.decode(errors="replace")
        )

    async def _pod(self, namespace: str, name: str) -> dict[str, Any]:
        found = await self._get(f"pods/{name}", namespace)
        if found is None:
            raise PodNotFound(namespace, name)
        return found

    @property
    def _opened(self) -> kr8s.asyncio.Api:
        if self._api is None:
            raise RuntimeError("Cluster is used outside of `async with`")
        return self._api

    async def fetch(self, path: str, **params: str) -> dict[str, Any] | None:
        """Return an object or a list by its path (`/apis/apps/v1/daemonsets`); None if it is not there."""
        answer = await self._call("GET", path, f"reading {path}", params=params)
        found: dict[str, Any] | None = None if answer.status_code == _NOT_FOUND else answer.json()
        return found

    async def log(self, namespace: str, name: str, tail_lines: int) -> str:
        """Return the last lines of a pod's log, of its only or first container; "" without one."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/log"
        answer = await self._call("GET", path, f"reading {path}", params={"tailLines": str(tail_lines)})
        return "" if answer.status_code == _NOT_FOUND else answer.text

    async def create(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Make an object in a collection (`/api/v1/namespaces/media/pods`) and return it as the server has it."""
        what = f"creating in {path}"
        answer = await self._call("POST", path, what, document=document)
        if answer.status_code == _NOT_FOUND:
            raise ClusterRefused(what, _NOT_FOUND, _message(answer))
        made: dict[str, Any] = answer.json()
        return made

    async def delete(self, path: str, *, grace_seconds: int = 0) -> None:
        """Delete an object; one that is not there is deleted."""
        await self._call("DELETE", path, f"deleting {path}", document={"gracePeriodSeconds": grace_seconds})

    async def patch(self, path: str, document: Mapping[str, Any]) -> bool:
        """Lay a JSON merge patch (RFC 7386) over an object; False if it is not there."""
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = await self._call("PATCH", path, f"changing {path}", document=document, headers=headers)
        return answer.status_code != _NOT_FOUND

    async def _call(
        self,
        method: str,
        path: str,
        what: str,
        *,
        params: Mapping[str, str] | None = None,
        document: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request; an answer that is neither good nor 404 is raised as ClusterRefused.

        Statuses are judged here: kr8s answers a 403 by making a new session, which concurrent calls would lose.
        """
        base, _, url = path.rpartition("/")
        try:
            async with self._opened.call_api(
                method,
                base=base,
                version="",
                url=url,
                params=params,
                json=document,
                headers=headers,
                raise_for_status=False,
            ) as answer:
                pass
        except Exception as error:
            raise self._failure(what, error) from None
        if answer.is_error and answer.status_code != _NOT_FOUND:
            raise ClusterRefused(what, answer.status_code, _message(answer))
        return answer

    async def _get(self, url: str, namespace: str | None = None, **params: str) -> dict[str, Any] | None:
        """Return a core/v1 object or list; None if it is not there."""
        try:
            async with self._opened.call_api(
                "GET", version="v1", namespace=namespace, url=url, params=params
            ) as answer:
                found: dict[str, Any] = answer.json()
                return found
        except kr8s.ServerError as error:
            if error.response is not None and error.response.status_code == _NOT_FOUND:
                return None
            raise self._failure(f"reading {url}", error) from None
        except Exception as error:
            raise self._failure(f"reading {url}", error) from None

    def _failure(self, what: str, error: Exception) -> ClusterUnreachable | ClusterRefused | Exception:
        """Return our error for one of the client's; any other comes back as it is."""
        match error:
            case kr8s.ServerError(response=httpx.Response(status_code=status)):
                return ClusterRefused(what, status, str(error))
            case TimeoutError() | kr8s.APITimeoutError() | httpx.TimeoutException():
                return ClusterUnreachable(self._origin, f"no answer within {self._timeout:g} s")
            case httpx.TransportError() | ssl.SSLError() | OSError() | json.JSONDecodeError():
                return ClusterUnreachable(self._origin, str(error) or type(error).__name__)
            case _:
                return error


def _message(answer: httpx.Response) -> str:
    """The API server's own words, where it gave a Status."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase


async def _finished(process: Exec) -> None:
    """Run the process to its end; a command that ran and failed is no error."""
    try:
        async with process.run():
            pass
    except ExceptionGroup as group:  # of the web socket's task group
        [error, *_] = group.exceptions
        if not isinstance(error, kr8s.ExecError) or _EXIT_CODE not in str(error):
            raise error from None
