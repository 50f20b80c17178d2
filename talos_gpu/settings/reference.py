"""The page docs/settings.md, made from the models: `python -m talos_gpu.settings.reference > docs/settings.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from talos_gpu.project import PROJECT
from talos_gpu.settings import rules
from talos_gpu.settings.model import Settings
from talos_gpu.settings.windows import Time, Zone

_RULES: tuple[tuple[Any, str, str], ...] = (
    (rules.Name, "RFC 1123 label, at most 63 characters", "`media`"),
    (rules.NodeName, "RFC 1123 subdomain, at most 63 characters", "`talos05`"),
    (rules.Address, "IPv4 or IPv6 address", "`192.168.1.194`"),
    (rules.Host, "HOST or HOST:PORT", "`192.168.1.190:50000`"),
    (rules.Url, "http or https URL", "`http://tdarr-server.media.svc:8266`"),
    (rules.TalosVersion, "Talos version with the v", "`v1.11.1`"),
    (rules.DriverVersion, "NVIDIA driver version", "`535.247.01`"),
    (rules.Quantity, "Kubernetes quantity, quoted", '`"512Mi"`'),
    (rules.Image, "image with tag or digest", "`docker.io/library/debian:12-slim`"),
    (rules.AbsolutePath, "absolute path in plain form", "`/media`"),
    (rules.GeneratorFlag, "flag in plain characters, none that the program sets itself", "`--mode=nvml`"),
    (Time, "time of day, quoted", '`"22:30"`'),
    (Zone, "name in the tz database", "`Europe/Berlin`"),
    (rules.Text, "text without blanks around it", "`Quadro P2000`"),
)
_BY_VALIDATOR = {id(get_args(alias)[1]): (rule, example) for alias, rule, example in _RULES}
COSTS: Mapping[str, str] = {
    "node.name": "another node: every object is replaced",
    "node.talos": "another release: the machine config is applied anew, which may restart the node",
    "machine.base": "a changed config is applied, which may restart the node once",
    "machine.reboot": "`forbid`: an `up` that needs a restart fails before anything is applied",
    "machine.windows": "outside of them an `up` that needs a restart of the node fails before anything is applied",
    "machine.apply_mode": "`staged`: nothing takes effect before the next boot",
    "cdi.method": "another machine config (a restart), other objects, and the worker restarts",
    "cdi.hook": "the generator runs again; the installer and the worker restart",
    "cdi.generator_flags": "the generator runs again; where the spec becomes another one, the worker restarts",
    "cdi.image": "the generator runs again; the installer restarts",
    "cdi.runtime": "another containerd part: a restart of the node",
    "verify": "seconds of encoding in refresh and in an `up` that changes spec, worker or driver",
    "tdarr": "every change of the pod restarts the worker, when no encode runs in it (machine.before_restart)",
}
"""What a change of a key does, by path."""

EXAMPLES: Mapping[str, str | int] = {
    "node.gpu.memory_mib": 5120,
    "machine.base": "configs/worker-talos05.yaml",
    "machine.ready_timeout_s": 900,
    "machine.before_restart.encode_deadline_s": 3600,
    "machine.before_restart.drain_deadline_s": 600,
    "tdarr.node_name": "talos05",
    "tdarr.name": "tdarr-node-gpu",
    "tdarr.ffmpeg_version": "6",
    "tdarr.driver_capabilities": "compute,video,utility",
    "tdarr.visible_devices": "all",
    "tdarr.volumes[].nfs.server": "192.168.1.10",
    "tdarr.volumes[].nfs.path": "/export/media",
    "tdarr.volumes[].host_path.path": "/var/mnt/media",
    "kubeconfig": "~/.kube/config",
    "talos_context": "home",
}
"""By path, where a type's own example says little."""


def _kind(annotation: Any, metadata: tuple[Any, ...] | list[Any]) -> tuple[str, str, str]:  # noqa: ANN401 (types)
    """(type, rule, example) of an annotation."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(args[0], args[1:])
    for item in metadata:
        if isinstance(item, AfterValidator) and id(item) in _BY_VALIDATOR:
            return "text", *_BY_VALIDATOR[id(item)]
    if origin in {Union, UnionType}:
        return next(_kind(arg, metadata) for arg in args if arg is not NoneType)
    if origin is Literal:
        return "text", "one of " + ", ".join(f"`{arg}`" if arg else '`""`' for arg in args), f"`{args[-1]}`"
    if origin is dict:
        _, rule, example = _kind(args[1], ())
        return "mapping", f"each value: {rule}", "`{memory: " + example.strip("`") + "}`"
    if origin is tuple:
        inner, rule, example = _kind(args[0], ())
        return f"list of {inner}", rule, f"`[{example.strip('`')}]`" if example else ""
    if annotation is float:
        return "number", _borders(metadata), "`4`"
    if annotation is int:
        return "whole number", _borders(metadata), f"`{_sample(metadata)}`"
    if annotation is bool:
        return "true or false", "", "`true`"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping", "keys below", ""
    return "text", "", "`~/.talos/config`" if annotation is str else ""


def _borders(metadata: tuple[Any, ...] | list[Any]) -> str:
    words = {Ge: "at least {0.ge}", Gt: "more than {0.gt}", Le: "at most {0.le}"}
    return ", ".join(words[type(item)].format(item) for item in metadata if type(item) in words)


def _sample(metadata: tuple[Any, ...] | list[Any]) -> int:
    return next((item.le // 10 for item in metadata if isinstance(item, Le) and isinstance(item.le, int)), 44)


def _model(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 (types)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model, get_args(annotation)) if found is not None), None)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    match value:
        case None:
            return "not set"
        case bool():
            return f"`{str(value).lower()}`"
        case BaseModel():
            return "its defaults"
        case tuple() | dict():
            return f"`{list(value)}`" if value else "empty"
        case _:
            return f"`{value}`" if value != "" else "empty"


def _written(value: str | int) -> str:
    """A value as a stack file has it: text that would be read as a number is quoted."""
    return f'`"{value}"`' if isinstance(value, str) and value.isdigit() else f"`{value}`"


def paths(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield (path, field) of every key, a model's own before those below it; `[]` stands for a list's entries."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        yield path, field
        below = _model(field.annotation)
        if below is not None:
            yield from paths(below, f"{path}{'[]' if get_origin(field.annotation) is tuple else ''}.")


def page() -> str:
    """Return the page's text."""
    lines = [
        "# Settings",
        "",
        "<!-- made by `python -m talos_gpu.settings.reference`; a test compares them -->",
        f"Every key of a stack's file stands under `{PROJECT}:` (`{PROJECT}:node`). Unknown keys are refused, types",
        "are taken as they are (quote a number that is to be text), and all faults are told at once with path, value",
        "and rule. `Pulumi.talos05.yaml` is a whole example. A change of a key that is not marked costs an update.",
    ]
    for path, field in paths():
        kind, rule, example = _kind(field.annotation, field.metadata)
        facts = [f"type: {kind}", f"default: {_default(field)}"]
        facts += [f"rule: {rule}"] if rule else []
        example = _written(EXAMPLES[path]) if path in EXAMPLES else example
        facts += [f"example: {example}"] if example else []
        facts += [f"a change costs: {COSTS[path]}"] if path in COSTS else []
        mark = "##" if "." not in path else "###"
        lines += ["", f"{mark} `{path}`", str(field.description), ""]
        lines += [f"- {fact}" for fact in facts]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
