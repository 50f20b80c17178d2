"""The plugin protocol (pulumirpc.ResourceProvider) over the operations."""

from __future__ import annotations

import functools
import threading
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc
from typing_extensions import override

from lab.engine.kubernetes import VERSION, kubeconfig, settings
from lab.engine.kubernetes.client import Cluster
from lab.engine.kubernetes.diff import align_namespaces, differences, forces_replacement, pruned
from lab.engine.kubernetes.errors import ClusterUnreachable, KubeconfigInvalid, ProviderFault
from lab.engine.kubernetes.kinds import object_of, refusal
from lab.engine.kubernetes.log import EngineLog
from lab.engine.kubernetes.normal import normal, stored
from lab.engine.kubernetes.objects import (
    AUTONAMED,
    REPLACE_UNREADY,
    WAIT_FOR,
    annotation,
    api_version_of,
    is_cluster_scoped,
    is_true,
    kind_of,
    metadata,
    name_of,
    named,
    namespace_of,
    qualified,
)
from lab.engine.kubernetes.operations import Operations
from lab.engine.kubernetes.protocol import faults
from lab.engine.kubernetes.readiness import job_complete
from lab.engine.kubernetes.wire import Object, has_unknown, plain, struct, type_of, without_internal
from lab.engine.kubernetes.wire import name_of as resource_name


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One configured provider."""

    def __init__(self, log: EngineLog) -> None:
        self._log = log
        self._settings = settings.Settings()
        self._operations: Operations | None = None
        self._unreachable = "the provider is not configured"
        self._namespace = ""
        self._cancelled = threading.Event()

    @override
    def Handshake(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.ProviderHandshakeResponse:
        return provider_pb2.ProviderHandshakeResponse()

    @override
    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=VERSION)

    @override
    def Cancel(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self._cancelled.set()
        return empty_pb2.Empty()

    @override
    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        failures = [
            provider_pb2.CheckFailure(property=key, reason=reason)
            for key, reason in settings.refusals(plain(request.news))
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    @override
    @faults
    def DiffConfig(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        """Another active cluster replaces the provider, and with it all its resources; other credentials do not."""
        old, new = plain(request.old_inputs) or plain(request.olds), plain(request.news)
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        if not changed:
            return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)
        identifier = "clusterIdentifier"
        replaces = [identifier] if old.get(identifier) and new.get(identifier) and identifier in changed else []
        pinned = new.get(identifier) and identifier not in changed
        if any(has_unknown(new.get(key)) for key in ("kubeconfig", "context", "cluster")) or (
            {"kubeconfig", "context", "cluster"} & set(changed)
            and kubeconfig.identity_of(old) != kubeconfig.identity_of(new)
        ):
            replaces.append("kubeconfig")
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME, diffs=changed, replaces=[] if pinned else replaces
        )

    @override
    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        arguments = plain(request.args)
        for key, value in request.variables.items():
            arguments.setdefault(key.removeprefix("kubernetes:config:"), value)
        self._settings = settings.read(arguments)
        try:
            access = kubeconfig.load(self._settings.kubeconfig, self._settings.context, self._settings.cluster)
            self._namespace = self._settings.namespace or access.namespace
            cluster = Cluster(access)
            cluster.probe()
            self._operations = Operations(cluster, self._settings, self._cancelled)
        except KubeconfigInvalid as fault:
            self._namespace = self._settings.namespace
            self._unreachable = f"failed to parse kubeconfig data in `kubernetes:config:kubeconfig`- {fault}"
        except (ProviderFault, OSError) as fault:
            self._unreachable = f"unable to load schema information from the API server: {fault}"
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    @override
    @faults
    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        if self._operations is None and self._settings.skip_update_unreachable:
            self._log.warning(
                request.urn, "Cluster is unreachable but skipUpdateUnreachable flag is set to true, skipping..."
            )
            return provider_pb2.CheckResponse(inputs=request.olds)
        refused = refusal(type_of(request.urn))
        if refused:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, refused)
        old, new = plain(request.olds), plain(request.news)
        if not has_unknown(new):
            new = normal(new)
        new = named(new, old, resource_name(request.urn), request.randomSeed)
        meta = metadata(new)
        if meta and self._namespace and not meta.get("namespace") and self._namespaced(new):
            meta["namespace"] = self._namespace
        failures = []
        if annotation(new, WAIT_FOR):
            reason = f"the stand-in for the kubernetes plugin has no {WAIT_FOR}"
            failures.append(provider_pb2.CheckFailure(property=f'metadata.annotations["{WAIT_FOR}"]', reason=reason))
        return provider_pb2.CheckResponse(inputs=struct(new), failures=failures)

    def _namespaced(self, obj: Object) -> bool:
        if self._operations is None:
            return not is_cluster_scoped(kind_of(obj))
        return self._operations.cluster.namespaced(api_version_of(obj), kind_of(obj))

    @override
    @faults
    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        state, said, new = without_internal(plain(request.olds)), plain(request.old_inputs), plain(request.news)
        old = pruned(state, stored(said))
        wanted = new if has_unknown(new) else stored(new)
        old.setdefault("metadata", {})
        if name_of(wanted):
            old["metadata"]["name"] = name_of(state)
        if metadata(wanted):
            align_namespaces(old, wanted, namespaced=self._namespaced(wanted))
        ignored = tuple(request.ignoreChanges)
        out = provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE, hasDetailedDiff=True)
        for found in differences(old, wanted):
            path = str(found)
            if path.startswith(ignored) and ignored:
                continue
            replaces = forces_replacement(wanted, found, self._settings.mutability)
            entry = out.detailedDiff[path]
            entry.kind = provider_pb2.PropertyDiff.Kind.Value(found.kind + ("_REPLACE" if replaces else ""))
            entry.inputDiff = found.kind == "DELETE"
            out.diffs.append(path)
            if replaces:
                out.replaces.append(path)
        self._replace_unready(request.urn, wanted, state, out)
        if out.diffs or out.replaces:
            out.changes = provider_pb2.DiffResponse.DIFF_SOME
        out.deleteBeforeReplace = (
            bool(out.replaces)
            and bool(name_of(wanted))
            and not is_true(wanted, AUTONAMED)
            and (name_of(wanted), namespace_of(wanted)) == (name_of(state), namespace_of(state))
        )
        return out

    def _replace_unready(self, urn: str, wanted: Object, state: Object, out: provider_pb2.DiffResponse) -> None:
        """A Job that is asked to be replaced while unready, and is unready now."""
        if not is_true(wanted, REPLACE_UNREADY):
            return
        if self._operations is None:
            self._log.warning(urn, "Cluster is unreachable, skipping replaceUnready check")
        elif kind_of(wanted) != "Job":
            self._log.warning(urn, "replaceUnready annotation is not supported for this resource")
        else:
            try:
                ready = job_complete(self._operations.cluster.get(state))
            except ProviderFault:
                return  # gone or not readable: refresh tells
            if not ready:
                out.replaces.append(f'.metadata.annotations["{REPLACE_UNREADY}"]')

    @override
    @faults
    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        inputs = plain(request.properties)
        if self._operations is None:
            self._reachable_or_preview(request.preview)
            return provider_pb2.CreateResponse(properties=request.properties)
        if not request.preview:
            self._log.stand_in(request.urn)
        report = functools.partial(self._log.status, request.urn)
        state = self._operations.create(request.urn, inputs, request.timeout, preview=request.preview, report=report)
        return provider_pb2.CreateResponse(id="" if request.preview else qualified(state), properties=struct(state))

    @override
    @faults
    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        if self._operations is None:
            self._reachable_or_preview(request.preview)
            return provider_pb2.UpdateResponse(properties=request.news)
        if not request.preview:
            self._log.stand_in(request.urn)
        state = self._operations.update(
            request.urn,
            plain(request.news),
            plain(request.olds),
            request.timeout,
            list(request.ignoreChanges),
            preview=request.preview,
            report=functools.partial(self._log.status, request.urn),
        )
        return provider_pb2.UpdateResponse(properties=struct(state))

    def _reachable_or_preview(self, preview: bool) -> None:
        if not preview:
            raise ClusterUnreachable(f"configured Kubernetes cluster is unreachable: {self._unreachable}")

    @override
    @faults
    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        if self._operations is None:
            return self._read_unreachable(request)
        inputs, old = plain(request.inputs), plain(request.properties)
        obj = inputs if kind_of(inputs) else old
        if not kind_of(obj):
            obj = object_of(type_of(request.urn))
        namespace, _, name = request.id.rpartition("/")
        obj = {**obj, "metadata": {"name": name, "namespace": namespace or namespace_of(obj)}}
        found = self._operations.read(obj, inputs, old)
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(id=request.id, properties=struct(found[0]), inputs=struct(found[1]))

    def _read_unreachable(self, request: provider_pb2.ReadRequest) -> provider_pb2.ReadResponse:
        self._log.warning(request.urn, f"configured Kubernetes cluster is unreachable: {self._unreachable}")
        if self._settings.delete_unreachable:
            self._log.info(
                request.urn,
                "configured Kubernetes cluster is unreachable and the `deleteUnreachable` option is enabled. "
                "Deleting the unreachable resource from Pulumi state",
            )
            return provider_pb2.ReadResponse()
        if self._settings.skip_update_unreachable:
            return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)
        raise ClusterUnreachable(
            "failed to read resource state due to unreachable cluster. If the cluster was deleted, you can remove this "
            "resource from Pulumi state by rerunning the operation with the PULUMI_K8S_DELETE_UNREACHABLE environment "
            'variable set to "true"'
        )

    @override
    @faults
    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        if self._operations is None:
            self._log.warning(request.urn, f"configured Kubernetes cluster is unreachable: {self._unreachable}")
            if self._settings.delete_unreachable:
                return empty_pb2.Empty()
            raise ClusterUnreachable(
                "configured Kubernetes cluster is unreachable. If the cluster was deleted, you can remove this "
                "resource from Pulumi state by rerunning the operation with the "
                "PULUMI_K8S_DELETE_UNREACHABLE environment "
                'variable set to "true"'
            )
        self._log.stand_in(request.urn)
        state = plain(request.properties)
        self._operations.delete(state, plain(request.old_inputs) or state, request.timeout)
        return empty_pb2.Empty()
