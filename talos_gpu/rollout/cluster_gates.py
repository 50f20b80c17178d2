"""The gates that ask the cluster: `node-ready` and `workload-ready`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from talos_gpu.kube.cluster import Cluster
from talos_gpu.kube.states import lacking
from talos_gpu.rollout.gates import Asked, Said, Verdict
from talos_gpu.rollout.node_gates import wanted_of
from talos_gpu.rollout.reach import machine
from talos_gpu.rollout.waiting import NotYet, wait
from talos_gpu.settings.stack_file import stack_settings
from talos_gpu.talos.facts import read_facts
from talos_gpu.verify.subject import WORKER_APP

_NODE_LABEL = "talos-nvidia-cdi/node"


def node_ready(asked: Asked) -> Said:
    """The Node object is Ready, has the stack's labels, and is of the boot that the node itself is on."""
    settings = stack_settings(asked.stack_file)
    name, labels = settings.node.name, wanted_of(settings).node_labels

    async def look() -> Said | NotYet:
        async with machine(settings) as client:
            facts = await read_facts(client)
        if facts.boot_id is None:
            cause = f"the node's boot id could not be read: {facts.unread['boot_id']}"
            return Said(Verdict.UNKNOWN, cause=cause, remedy="use a talosconfig with role os:admin")
        async with Cluster(settings.kubeconfig or None, connect=False) as cluster:
            node = await cluster.node(name)
        lacks = lacking(node, labels, None)
        if node is not None and node.boot_id != facts.boot_id:
            lacks = ", ".join(filter(None, (lacks, f"what it says is of boot {node.boot_id}, not of this one")))
        evidence = (
            f"Node {name}: {'Ready' if node and node.ready else 'not Ready'}; the node is on boot {facts.boot_id}"
        )
        if not lacks:
            return Said(Verdict.PASSED, evidence)
        return NotYet(Said(Verdict.FAILED, evidence, f"Node {name}: {lacks}", f"kubectl describe node {name}"))

    return wait(asked, look)


def workload_ready(asked: Asked) -> Said:
    """The worker's Deployment is available at its newest generation; passes where the stack has no worker."""
    settings = stack_settings(asked.stack_file)
    if settings.tdarr is None:
        return Said(Verdict.PASSED, "the stack has no worker")
    namespace = settings.tdarr.namespace.name
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    selector = f"app={WORKER_APP},{_NODE_LABEL}={settings.node.name}"

    async def look() -> Said | NotYet:
        async with Cluster(settings.kubeconfig or None, connect=False) as cluster:
            found = (await cluster.fetch(path, labelSelector=selector) or {}).get("items") or []
        if not found:
            cause = f"there is no Deployment {selector} in namespace {namespace}"
            return NotYet(Said(Verdict.FAILED, cause=cause, remedy=f"pulumi up --refresh --stack {asked.stack}"))
        lacks = "; ".join(filter(None, map(_lack, found)))
        names = ", ".join(f"{namespace}/{item['metadata']['name']}" for item in found)
        if not lacks:
            return Said(Verdict.PASSED, f"{names} is available")
        remedy = f"kubectl -n {namespace} describe pods -l {selector}"
        return NotYet(Said(Verdict.FAILED, f"Deployment {names}", lacks, remedy))

    return wait(asked, look)


def _lack(deployment: Mapping[str, Any]) -> str:
    """What a Deployment lacks, "" if nothing."""
    name, status = deployment["metadata"]["name"], deployment.get("status") or {}
    wants = deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return f"Deployment {name}: its newest version is not looked at yet"
    has, new = status.get("availableReplicas", 0), status.get("updatedReplicas", 0)
    if wants == 0:
        return f"Deployment {name} is scaled to 0"
    return "" if min(has, new) >= wants else f"Deployment {name}: {has} of {wants} available, {new} up to date"
