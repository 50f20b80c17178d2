"""The words of `talos-gpu preview`, read by argparse: the engine is started before anything heavy is imported."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path

from talos_gpu.preview.limits import LIMIT, SMALLEST

_ABOUT = """\
Preview stacks and write one Markdown comment: changes, reboots, CDI and machine config differences, the hash.

Needs neither node nor cluster unless --refresh is said. Exit code 1: an update of a stack would be refused."""
_MOST = 64


def parser() -> ArgumentParser:
    """The parser."""
    root = ArgumentParser(
        prog="talos-gpu preview", description=_ABOUT, formatter_class=RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = root.add_argument
    add("stacks", nargs="*", metavar="STACK", help="default: those of rollout.yaml, else all")
    add("--project", type=Path, default=Path(), metavar="FOLDER", help="folder of Pulumi.yaml (default: .)")
    add("-f", "--file", type=Path, metavar="FILE", help="default: rollout.yaml in the project")
    add("--stack-files", type=Path, metavar="FOLDER", help="folder of the Pulumi.STACK.yaml (default: the project)")
    add("--refresh", action="store_true", help="look at nodes and cluster; drift is told apart")
    add("--json", action="store_true", dest="as_json", help="JSON (`talos-gpu schema preview`)")
    add("-o", "--output", type=Path, metavar="FILE", help="write there instead")
    add(
        "--limit",
        type=_within(SMALLEST),
        default=LIMIT,
        metavar="BYTES",
        help="of Markdown at most (default: %(default)s)",
    )
    add("--policy-pack", type=Path, metavar="FOLDER", help="default: policy/ in the project if installed")
    add(
        "--policy-pack-config",
        type=Path,
        metavar="FILE",
        help="what the pack is configured with (default: policy-config.json in the project if there)",
    )
    add("--policy", action=BooleanOptionalAction, default=True, help="run the policy pack")
    add(
        "--parallel",
        type=_within(1, _MOST),
        default=4,
        metavar="COUNT",
        help="previews at the same time (default: %(default)s)",
    )
    return root


def _within(least: int, most: int | None = None) -> Callable[[str], int]:
    rule = f"at least {least}" if most is None else f"{least} to {most}"

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is no whole number, {rule}") from None
        if value < least or (most is not None and value > most):
            raise ArgumentTypeError(f"{value} is not allowed: {rule}")
        return value

    return number
