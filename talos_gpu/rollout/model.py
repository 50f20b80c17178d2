"""rollout.yaml: which stacks, in which waves, within which limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from talos_gpu.settings.base import Strict
from talos_gpu.settings.windows import Window as Window  # noqa: PLC0414 - a part of this model too
from talos_gpu.settings.windows import fault

CheckName = Literal["settings", "release", "credentials", "reachable", "image"]
CHECKS: tuple[CheckName, ...] = ("settings", "release", "credentials", "reachable", "image")


def _matches(pattern: str, rule: str, longest: int) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise PydanticCustomError("rollout", "{message}", {"message": rule})
        if len(value) > longest:
            raise PydanticCustomError("rollout", "{message}", {"message": f"is longer than {longest} characters"})
        return value

    return check


_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_GLOB = r"[A-Za-z0-9._*?\[\]!-]+"
_LABEL = r"[A-Za-z0-9._/-]+=[A-Za-z0-9._-]*"
Word = Annotated[
    str,
    AfterValidator(_matches(_WORD, "has more than letters, digits and . _ - in it, or starts with one of those", 100)),
    Field(json_schema_extra={"pattern": f"^{_WORD}$", "maxLength": 100}),
]
Glob = Annotated[
    str,
    AfterValidator(_matches(_GLOB, "is neither a name nor a glob with * ? [ ]", 200)),
    Field(json_schema_extra={"pattern": f"^{_GLOB}$", "maxLength": 200}),
]
Label = Annotated[
    str,
    AfterValidator(_matches(_LABEL, "is not KEY=VALUE", 200)),
    Field(json_schema_extra={"pattern": f"^{_LABEL}$", "maxLength": 200}),
]


class Selector(Strict):
    """Some stacks: by one name, by a glob over names, or by a label."""

    name: Word | None = Field(default=None, description="One stack.")
    glob: Glob | None = Field(default=None, description="Every stack file whose stack's name fits: `talos0*`.")
    label: Label | None = Field(default=None, description="Every stack with it: `site=home`.")

    @model_validator(mode="after")
    def _one(self) -> Selector:
        if sum(value is not None for value in (self.name, self.glob, self.label)) != 1:
            raise fault("has not exactly one of name, glob, label")
        return self


class WaveRule(Strict):
    """One wave: by a count, a percentage of all stacks, or names. Whatever names a later wave is not counted in."""

    name: Word | None = Field(default=None, description="For reports; default: `wave 2`.")
    count: int | None = Field(default=None, ge=1, description="So many of the stacks that are left.")
    percent: int | None = Field(default=None, ge=1, le=100, description="So much of all stacks, rounded up.")
    stacks: tuple[Glob, ...] | None = Field(default=None, min_length=1, description="These, by name or glob.")
    max_parallel: int | None = Field(default=None, ge=1, description="In place of the rollout's.")
    soak_s: int | None = Field(default=None, ge=0, le=604800, description="In place of the rollout's, in seconds.")

    @model_validator(mode="after")
    def _one(self) -> WaveRule:
        if sum(value is not None for value in (self.count, self.percent, self.stacks)) != 1:
            raise fault("has not exactly one of count, percent, stacks")
        return self


class Gate(Strict):
    """What must hold after a stack's update: a built-in gate by its name, or a command."""

    name: Word = Field(description="A built-in gate, or any name for a command.")
    command: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Run in the project's folder with ROLLOUT_STACK set: 0 passes, 1 fails, anything else cannot tell.",
    )
    timeout_s: int = Field(default=900, ge=1, le=86400, description="Seconds after which it could not tell.")


class RolloutFile(Strict):
    """rollout.yaml."""

    fleet: Word = Field(description="The fleet's name: one rollout of it at a time.")
    stacks: tuple[Selector, ...] = Field(min_length=1, description="Which stacks; their order is the order of updates.")
    waves: tuple[WaveRule, ...] = Field(
        default=(), description="In order; the last count or percentage repeats. Default: one stack, then the rest."
    )
    clusters: dict[Word, tuple[Glob, ...]] = Field(
        default_factory=dict, description="Cluster -> its stacks. A stack in none is in the cluster `default`."
    )
    labels: dict[Glob, dict[str, str]] = Field(default_factory=dict, description="Stacks -> their labels.")
    max_parallel: int = Field(default=1, ge=1, le=64, description="Stacks in work at the same time.")
    max_unavailable: int = Field(default=1, ge=1, description="Stacks of one cluster in work, or failed.")
    max_failures: int = Field(default=0, ge=0, description="Stop when more have failed; in the first wave at any.")
    soak_s: int = Field(default=0, ge=0, le=604800, description="Seconds after the gates, which are then asked again.")
    lock_wait_s: int = Field(default=0, ge=0, le=86400, description="Seconds to wait for a stack that another locked.")
    windows: tuple[Window, ...] = Field(default=(), description="When stacks may be started; default: always.")
    holds: tuple[Glob, ...] = Field(default=(), description="Stacks that must not be started.")
    preflight: tuple[CheckName, ...] = Field(
        default=CHECKS, description="What is looked at before anything is planned."
    )
    gates: tuple[Gate, ...] | None = Field(default=None, description="Default: every built-in gate, in their order.")
    rollback: Literal["when-safe", "never"] = Field(
        default="when-safe", description="After a failed gate, back to the stack's last good commit where that is safe."
    )
    refresh: bool = Field(default=False, description="Refresh each stack before its preview and update.")
    plan_parallel: int = Field(default=4, ge=1, le=64, description="Previews at the same time.")
    stack_files: str = Field(
        default=".", min_length=1, description="Folder of the Pulumi.STACK.yaml, from the project."
    )
