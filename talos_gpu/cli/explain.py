"""`talos-gpu explain`: what an error text means."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from talos_gpu.doctor.explain import explain as explain_text
from talos_gpu.doctor.render import explanations_json, explanations_text
from talos_gpu.errors import UsageError
from talos_gpu.kube.cluster import Cluster
from talos_gpu.kube.errors import PodNotFound
from talos_gpu.kube.states import pod_state

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


@app.command()
def explain(
    text: Annotated[list[str] | None, typer.Argument(help="The text; without it stdin is read.")] = None,
    *,
    pod: Annotated[str, typer.Option(help="NAMESPACE/NAME: the events of this pod and why it waits.")] = "",
    kubeconfig: Annotated[str, typer.Option(help="Path; default: $KUBECONFIG, then ~/.kube/config.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Name cause and remedy of an error text of this corner of the field.

    Exit code: 0 known, 1 not known, 2 nothing to explain.
    """
    words = asyncio.run(_events(pod, kubeconfig)) if pod else " ".join(text or ()) or _stdin()
    if not words.strip():
        raise UsageError("there is nothing to explain", remedy="give the text as an argument, or on stdin")
    found = explain_text(words)
    typer.echo(explanations_json(found) if as_json else explanations_text(found), nl=False)
    raise typer.Exit(0 if found else 1)


def _stdin() -> str:
    return "" if sys.stdin.isatty() else sys.stdin.read()


async def _events(pod: str, kubeconfig: str) -> str:
    namespace, _, name = pod.rpartition("/")
    namespace = namespace or "default"
    async with Cluster(kubeconfig or None) as cluster:
        events = await cluster.pod_events(namespace, name)
        found = await cluster.fetch(f"/api/v1/namespaces/{namespace}/pods/{name}")
    if found is None and not events:
        raise PodNotFound(namespace, name)
    waits = pod_state(found).waiting if found is not None else ""
    return "\n".join((*(event.message for event in events if event.type == "Warning"), waits))
