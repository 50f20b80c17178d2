"""`talos-gpu cdi`: specs in files, in pipes and on nodes."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any, TypeVar

from talos_gpu import cdi
from talos_gpu.cdi import Library
from talos_gpu.cli import cdi_files, cdi_text
from talos_gpu.cli.cdi_options import STDIN, parser

FINE, FINDINGS, UNUSABLE = 0, 1, 2
_DefaultT = TypeVar("_DefaultT")


def main(words: Sequence[str]) -> int:
    """Run the command with the words behind `cdi`; the exit code. Raises TalosGpuError for unusable input."""
    options = parser().parse_args(words or ["--help"])
    if options.from_node and (getattr(options, "file", "") or getattr(options, "files", ())):
        return _unusable("--from-node takes no FILE: name the node's file with --path")
    run = {"validate": validate, "patch": patch, "diff": diff, "resolve": resolve, "show": show}[options.command]
    with cdi_files.stdout():
        return run(options)


def validate(options: Namespace) -> int:
    """Print the verdict on each spec."""
    results: list[tuple[str, list[cdi.SpecFault], list[cdi.Remark], tuple[cdi.Finding, ...]]] = []
    unreadable: list[tuple[str, cdi.SpecUnreadable]] = []
    library = _library(options, Library.V1_0_1)
    if options.from_node:
        from talos_gpu.cli import cdi_node  # noqa: PLC0415 - the Talos client is heavy

        seen = cdi_node.inspect(options.from_node, options.project, options.path, _library(options, None))
        judged = _judged(seen.data, seen.library, options.kind, options.path)
        results.append((f"{options.from_node}:{options.path}", *judged, seen.stale))
    else:
        names: list[str] = options.files or [STDIN]
        for name in names:
            try:
                results.append((_called(name), *_judged(cdi_files.read(name), library, options.kind, name), ()))
            except cdi.SpecUnreadable as error:
                unreadable.append((_called(name), error))
    if options.as_json:
        _print_json(
            {
                "specs": [cdi_text.verdict_json(*result) for result in results],
                "unreadable": [{"file": name, "error": reason.message} for name, reason in unreadable],
            }
        )
    else:
        for result in results:
            print(cdi_text.verdict(*result))
    for _, reason in unreadable:
        _complain(str(reason))
    if unreadable:
        return UNUSABLE
    return FINDINGS if any(faults or remarks or stale for _, faults, remarks, stale in results) else FINE


def patch(options: Namespace) -> int:
    """Write the patched spec."""
    if options.in_place and (options.output or options.from_node or options.file in ("", STDIN)):
        return _unusable("--in-place needs a FILE, and neither --output nor --from-node")
    name, read = _called(options.file or STDIN), _bytes(options, options.file)
    try:
        source, strategy = cdi.decode(read), cdi.Strategy(options.strategy)
        patched = cdi.patch(source.text, strategy, library=_library(options, Library.V1_0_1))
        _require_kind(patched.kind, options.kind)
    except cdi.CdiError as error:
        if options.as_json:
            _print_json(cdi_text.refused_json(name, error))
        if isinstance(error, cdi.SpecInvalid):
            raise
        _complain(f"{name}: {error}")
        return FINDINGS
    data = source.encoded(patched.text)
    target = options.file if options.in_place else options.output
    if target:
        cdi_files.write(target, data)
    if options.as_json:
        _print_json(cdi_text.patched_json(patched, target))
    elif target:
        runs = ", ".join(patched.hooks) or "nothing"
        print(f"{target}: {patched.replaced} hook paths changed; hooks run {runs}")
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    return FINE


def diff(options: Namespace) -> int:
    """Print what differs."""
    if bool(options.new) == bool(options.from_node):
        return _unusable("name the other spec: NEW, or --from-node STACK")
    if options.old == options.new == STDIN:
        return _unusable("only one of the two can be standard input")
    before, after = cdi.decode(cdi_files.read(options.old)).text, cdi.decode(_bytes(options, options.new)).text
    changes = cdi.diff(before, after, every=options.every, library=_library(options, Library.V1_1_0))
    if options.as_json:
        _print_json({"changes": cdi.as_json(changes)})
    else:
        print(cdi.render_markdown(changes) if options.markdown else cdi.render(changes), end="")
    return FINDINGS if changes else FINE


def resolve(options: Namespace) -> int:
    """Print which file gives each device."""
    folders: list[str] = options.folders or list(cdi.FOLDERS)
    if options.from_node:
        from talos_gpu.cli import cdi_node  # noqa: PLC0415 - the Talos client is heavy

        found = cdi_node.resolve(options.from_node, options.project, folders, _library(options, None))
    else:
        found = cdi.resolve(folders, library=_library(options, Library.V1_0_1))
    given = found.find(options.device) if options.device else None
    if options.as_json:
        answer = {"resolves": given is not None} if options.device else {}
        _print_json({**answer, **cdi_text.resolution_json(found)})
    elif given is not None:
        print(f"{given.device} from {given.path}")
    else:
        print(cdi_text.resolution(found))
    if options.device:
        if given is None:
            _complain(f"unresolvable: {options.device}")
        return FINDINGS if given is None else FINE
    return FINDINGS if found.conflicts or found.folder_errors or any(file.problem for file in found.files) else FINE


def show(options: Namespace) -> int:
    """Print what a spec gives and needs."""
    text = cdi.decode(_bytes(options, options.file)).text
    spec = cdi.parse(text, library=_library(options, Library.V1_1_0))
    if options.as_json:
        _print_json(cdi_text.summary_json(spec, cdi.sha256(text)))
    else:
        print(cdi_text.summary(spec, cdi.sha256(text)), end="")
    return FINE


def _judged(data: bytes, library: Library, kind: str, name: str) -> tuple[list[cdi.SpecFault], list[cdi.Remark]]:
    """The library's verdict on a file, and what is odd about it all the same."""
    try:
        text = cdi.decode(data).text
        spec = cdi.parse(text, library=library)
    except cdi.SpecInvalid as error:
        return list(error.faults), []
    found = cdi.remarks(text, spec)
    if kind and spec.kind != kind:
        found.append(cdi.Remark(0, "kind", f"the spec is of kind {spec.kind!r}, not {kind!r}", "--kind"))
    if name != STDIN and (reason := cdi.ignored_because(name.rpartition("/")[2])):
        found.append(cdi.Remark(0, "file-name", reason, "pkg/cdi/spec-dirs.go scanSpecDirs"))
    return [], found


def _require_kind(kind: str, wanted: str) -> None:
    vendor = kind.partition("/")[0]
    if wanted and kind != wanted:
        raise cdi.KindUnexpected(kind, repr(wanted))
    if not wanted and vendor != "nvidia.com" and not vendor.endswith(".nvidia.com"):
        raise cdi.KindUnexpected(kind, "one of nvidia.com")


def _library(options: Namespace, default: _DefaultT) -> Library | _DefaultT:
    return Library(options.library) if options.library else default


def _bytes(options: Namespace, file: str) -> bytes:
    if not options.from_node:
        return cdi_files.read(file or STDIN)
    from talos_gpu.cli import cdi_node  # noqa: PLC0415 - the Talos client is heavy

    return cdi_node.read(options.from_node, options.project, options.path)


def _called(name: str) -> str:
    return "stdin" if name == STDIN else name


def _print_json(document: Any) -> None:  # noqa: ANN401 - JSON
    import json  # noqa: PLC0415 - not for pipes

    print(json.dumps(document, indent=2))


def _unusable(message: str) -> int:
    _complain(message)
    return UNUSABLE


def _complain(message: str) -> None:
    print(f"talos-gpu: {message}", file=sys.stderr)
