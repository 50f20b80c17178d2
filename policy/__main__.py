"""The policy pack: rules.py as CrossGuard policies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from marks import Marks
from pulumi_policy import (
    EnforcementLevel,
    PolicyConfigSchema,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)
from rules import (
    Resource,
    Stack,
    default_runtime,
    hook_paths,
    host_path_type,
    job_limits,
    privileged,
    protection,
    runtime_class,
    secrets,
    unpinned,
)
from values import plain

_NAMES = {"type": "array", "items": {"type": "string"}, "default": []}
_LINES = (Path(__file__).parent / "unpinned.txt").read_text(encoding="utf-8").splitlines()
KNOWN = frozenset(line for line in _LINES if line and not line.startswith("#"))
"""Images that are known to have no digest yet."""

Check = Callable[[Resource, ResourceValidationArgs], Iterable[str]]


def _resource(args: ResourceValidationArgs) -> Resource:
    return Resource(args.resource_type, args.name, plain(args.props), bool(args.opts.protect))


class _Told:
    """What is known of the stack; one engine operation is one process of this pack."""

    def __init__(self) -> None:
        self._stack = Stack()

    def by(self, found: Resource) -> Stack:
        """The stack after this resource was seen."""
        self._stack = self._stack.after(found)
        return self._stack


_told = _Told()
_marks = Marks()


def _listed(args: ResourceValidationArgs, key: str) -> tuple[str, ...]:
    return tuple(args.get_config().get(key) or ())


def _policy(
    name: str,
    description: str,
    check: Check,
    level: EnforcementLevel = EnforcementLevel.MANDATORY,
    config: str = "",
    *,
    sees_marks: bool = False,
) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        for message in check(_resource(args), args):
            report(message, None)

    schema = PolicyConfigSchema(properties={config: _NAMES}) if config else None
    return ResourceValidationPolicy(
        name,
        description,
        validate,
        enforcement_level=level,
        config_schema=schema,
        remediate=_marks.see if sees_marks else None,
    )


PolicyPack(
    "talos-nvidia-cdi",
    policies=[
        _policy(
            "privileged-by-name",
            "Privileged pods and host folders are the generator's and the installer's alone.",
            lambda found, args: privileged(found, _listed(args, "also")),
            config="also",
        ),
        _policy(
            "images-by-digest",
            "Images are named by digest; those known to have none yet are told by images-to-pin.",
            lambda found, _: (f"{image} is not named by digest" for image in unpinned(found) if image not in KNOWN),
        ),
        _policy(
            "images-to-pin",
            "Images that are known to have no digest yet.",
            lambda found, _: (
                f"{image}: `talos-gpu images pin` pins it" for image in unpinned(found) if image in KNOWN
            ),
            EnforcementLevel.ADVISORY,
        ),
        _policy(
            "no-gpu-by-default",
            "No pod gets the GPU by the default runtime unless the stack says cdi.runtime: default.",
            lambda found, _: default_runtime(found, _told.by(found)),
        ),
        _policy(
            "hook-paths",
            "An installed CDI spec has the hook paths that the Talos release runs.",
            lambda found, _: hook_paths(found, _told.by(found)),
        ),
        _policy(
            "runtime-class-on-gpu-nodes", "An NVIDIA RuntimeClass selects GPU nodes.", lambda f, _: runtime_class(f)
        ),
        _policy(
            "job-limits", "Jobs have a deadline, a limit of tries and of memory.", lambda found, _: job_limits(found)
        ),
        _policy("no-host-path-type", "No hostPath has a type.", lambda found, _: host_path_type(found)),
        _policy(
            "secrets-marked",
            "Secrets are marked secret, and private keys are kept in Secrets.",
            lambda found, args: secrets(found, _marks.of(args)),
            EnforcementLevel.REMEDIATE,
            sees_marks=True,
        ),
        _policy(
            "destroy-protection",
            "Resources of the types that are asked for are protected.",
            lambda found, args: protection(found, _listed(args, "types")),
            config="types",
        ),
    ],
)
