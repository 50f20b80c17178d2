"""The `talos-gpu` command: a table of subcommands, each in a module of its own that is imported when it is called."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import ModuleType

from talos_gpu.collector import collector_paused
from talos_gpu.errors import TalosGpuError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "doctor": ("talos_gpu.cli.doctor", "why the GPU does not work: roots, evidence, remedies"),
    "explain": ("talos_gpu.cli.explain", "what an error text means, and what to do"),
    "images": ("talos_gpu.cli.images", "the images of a stack: pin their tags to digests"),
    "machine": ("talos_gpu.cli.machine", "what a machine config lacks for the GPU, and what adding it costs"),
    "rollout": ("talos_gpu.cli.rollout", "roll a change out over many stacks, in waves that stop"),
    "schema": ("talos_gpu.cli.schema", "JSON schemas of stack files, rollout.yaml and the reports, for editors"),
    "stack": ("talos_gpu.cli.stack", "write a stack file for a node"),
    "verify": ("talos_gpu.cli.verify", "prove that the GPU encodes, decodes and computes"),
}
"""Name -> (module with a typer app called `app`, the line that --help shows)."""

UNUSABLE = 2
"""Exit code: the input cannot be used, or nothing could be told."""
UNREAD = 1
"""Exit code: whoever reads the output has gone."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

PLAIN: Mapping[str, tuple[str, str]] = {
    "cdi": ("talos_gpu.cli.cdi", "validate, patch, compare, resolve and show CDI specs"),
    "preview": ("talos_gpu.cli.preview", "what an update would do, for a reviewer: Markdown or JSON"),
}
"""Commands whose start counts, with a `main(words) -> exit code`: typer 0.29 imports pydantic for every parameter."""


@collector_paused
def load(module: str) -> ModuleType:
    """Import a command's module; what is imported lives to the end, so that no collector need look at it meanwhile."""
    return import_module(module)


def main() -> None:
    """Run the command line; a TalosGpuError ends in its own words on stderr and exit code 2, never in a traceback."""
    try:
        name = "".join(sys.argv[1:2])
        if name == "--version":
            print(import_module("importlib.metadata").version("talos-nvidia-cdi"))
            return
        if name in PLAIN:
            sys.exit(_plain(load(PLAIN[name][0]).main, sys.argv[2:]))
        load("talos_gpu.cli.root").app(prog_name="talos-gpu")
    except TalosGpuError as error:
        print(f"talos-gpu: {error}", file=sys.stderr)
        sys.exit(UNUSABLE)
    finally:
        gc.freeze()  # the collector's last run would look at all that was imported: 24 ms of a preview


def _plain(command: Callable[[Sequence[str]], int], words: Sequence[str]) -> int:
    """The exit code of a command that typer does not guard: a reader that has enough ends it without a traceback."""
    try:
        code = command(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # nothing more may be written when Python closes the stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except KeyboardInterrupt:
        return INTERRUPTED
    return code
