"""`--method`: how containers get the GPU, by both of jit's names."""

from __future__ import annotations

import typer

from talos_gpu.talos.releases import Method

METAVAR = "spec|jit-cdi|native|sysctl"


def method_of(text: str) -> Method:
    """Parse the option's value; `jit` is `jit-cdi`."""
    try:
        return Method(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is none of {METAVAR.replace('|', ', ')}") from None
