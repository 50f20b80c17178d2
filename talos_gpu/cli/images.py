"""`talos-gpu images`: which images a stack runs, and to which digests their tags point."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from talos_gpu.errors import TalosGpuError, UsageError
from talos_gpu.images.errors import DigestUnknown
from talos_gpu.images.reference import Reference
from talos_gpu.images.registry import TIMEOUT_S, digest_of
from talos_gpu.images.stack_file import images, replaced
from talos_gpu.settings.rules import pinned
from talos_gpu.settings.stack_file import stack_settings

app = typer.Typer(
    name="images",
    help="Images of a stack: pin their tags to digests.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_FINDINGS = 1
Stacks = Annotated[list[str], typer.Argument(metavar="STACK...", help="Whose stack files.")]
Project = Annotated[Path, typer.Option(help="Folder of the stack files.")]


class NotPinned(TalosGpuError):
    """Some images kept their tags; each reason is told."""

    def __init__(self, faults: list[DigestUnknown]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))


@app.callback()
def _images() -> None:
    pass


@app.command("list")
def list_images(stacks: Stacks, project: Project = Path()) -> None:
    """Show every image and whether it is pinned; exit code 1 if one is not."""
    loose = False
    for stack in stacks:
        for key, image in images(stack_settings(project / f"Pulumi.{stack}.yaml")).items():
            loose |= not pinned(image)
            typer.echo(f"{stack} {key} {image} {'pinned' if pinned(image) else 'not pinned'}")
    if loose:
        raise typer.Exit(_FINDINGS)


@app.command()
def pin(
    stacks: Stacks,
    project: Project = Path(),
    *,
    update: Annotated[bool, typer.Option("--update", help="Look pinned tags up again too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look up and say; write nothing.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for each answer.")] = TIMEOUT_S,
) -> None:
    """Write the digest beside each tag, NAME:TAG@sha256:..., comments and all else in the file left as they are.

    What cannot be looked up is left as it is and told; exit code 2 then.
    """
    wanted = {
        stack: {
            key: Reference.of(image)
            for key, image in images(stack_settings(project / f"Pulumi.{stack}.yaml")).items()
            if not pinned(image) or (update and Reference.of(image).tag)
        }
        for stack in dict.fromkeys(stacks)
    }
    found = _look_up({reference for keys in wanted.values() for reference in keys.values()}, timeout)
    for stack, keys in wanted.items():
        changes = {}
        for key, reference in keys.items():
            digest = found[reference]
            if isinstance(digest, str) and digest != reference.digest:
                changes[key] = reference.pinned(digest)
                typer.echo(f"{stack} {key} {changes[key]}")
        if changes and not dry_run:
            _write(project / f"Pulumi.{stack}.yaml", changes)
    faults = [digest for digest in found.values() if isinstance(digest, DigestUnknown)]
    if faults:
        raise NotPinned(sorted(faults, key=str))
    if not any(wanted.values()):
        typer.echo("every image is pinned already")


def _look_up(references: set[Reference], timeout_s: float) -> dict[Reference, str | DigestUnknown]:
    def one(reference: Reference) -> str | DigestUnknown:
        try:
            return digest_of(reference, timeout_s=timeout_s)
        except DigestUnknown as error:
            return error

    ordered = sorted(references, key=lambda reference: reference.written)
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(ordered, pool.map(one, ordered), strict=True))


def _write(path: Path, changes: dict[str, str]) -> None:
    """Replace the images, by rename; what was read back must say so."""
    text = replaced(path.read_bytes().decode(), changes)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.yaml")
    fresh.write_bytes(text.encode())
    try:
        if {**images(stack_settings(fresh)), **changes} != images(stack_settings(fresh)):
            raise UsageError(f"{path} would not say what it should", remedy="write the images by hand")
        fresh.chmod(path.stat().st_mode)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
