"""`talos-gpu rollout export`: the waves as Stack objects of the Pulumi Kubernetes Operator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from talos_gpu.cli.rollout_where import Where
from talos_gpu.errors import TalosGpuError, UsageError
from talos_gpu.rollout.export import Target, lost, stack_objects
from talos_gpu.rollout.versions import place_of, source_of
from talos_gpu.settings.stack_file import stack_files, stack_settings


def export(
    context: typer.Context,
    *,
    repository: Annotated[str, typer.Option(help="URL of the git repository, as the operator reaches it.")],
    namespace: Annotated[str, typer.Option(help="Of the Stack objects.")] = "default",
    commit: Annotated[str, typer.Option(help="Default: the project's HEAD.")] = "",
    organization: Annotated[
        str, typer.Option(help="Of the stacks' full names; `organization` for a backend of one's own.")
    ] = "",
    backend: Annotated[str, typer.Option(help="URL of the state's backend; default: Pulumi Cloud.")] = "",
    service_account: Annotated[str, typer.Option(help="Of the pods that run the updates.")] = "",
    git_secret: Annotated[str, typer.Option(help="Secret with the repository's token, key `accessToken`.")] = "",
    env: Annotated[
        list[str] | None, typer.Option(metavar="VAR=SECRET/KEY", help="A variable out of a Secret; may be repeated.")
    ] = None,
) -> None:
    """Write the same waves as Stack objects of the Pulumi Kubernetes Operator, with what they do not carry."""
    where: Where = context.obj
    model, source = where.model(), source_of(where.project, where.file)
    if not commit and not source.clean:
        raise UsageError(
            "the project has uncommitted changes, which the operator would never see",
            remedy="commit and push them, or name a commit with --commit",
        )
    target = Target(
        project=where.name(),
        repository=repository,
        commit=commit or source.commit,
        folder=place_of(where.project),
        namespace=namespace,
        organization=organization,
        backend=backend,
        service_account=service_account,
        git_secret=git_secret,
        environment=dict(_variable(word) for word in env or ()),
    )
    known = stack_files(where.project)
    objects = stack_objects(model, str(where.file), list(known), target)
    verifying = [name for name, path in known.items() if _verifies(path)]
    typer.echo("".join(f"# not carried: {line}\n" for line in lost(model, list(known), verifying)), nl=False)
    typer.echo(yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True), nl=False)


def _verifies(path: Path) -> bool:
    """Whether a stack proves its GPU by itself; not, as far as anybody can say, if its settings cannot be read."""
    try:
        return stack_settings(path).verify
    except TalosGpuError:
        return False


def _variable(word: str) -> tuple[str, tuple[str, str]]:
    variable, equals, place = word.partition("=")
    secret, slash, key = place.partition("/")
    if not (variable and equals and secret and slash and key):
        raise UsageError(f"--env {word!r} is not VAR=SECRET/KEY", remedy="such as PULUMI_ACCESS_TOKEN=pulumi/token")
    return variable, (secret, key)
