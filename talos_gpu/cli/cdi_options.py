"""The words of `talos-gpu cdi`, read by argparse: typer 0.29 imports pydantic for every parameter that it reads."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter

from talos_gpu.cdi import Library, Strategy

STDIN = "-"
SOURCE = "/var/cdi/nvidia.yaml"
"""Where the generator writes on a node."""

_ABOUT = "CDI specs as containerd reads them. Exit codes: 0 fine, 1 findings, differences or refused, 2 unusable input."
_VALIDATE = (
    "Say whether containerd would load a spec, with every reason why not; of a node's, also what is stale in it."
)
_PATCH = """\
Change the hook paths alone; every other byte stays, and patching twice is patching once.

  talosctl -n NODE read /var/cdi/nvidia.yaml | talos-gpu cdi patch > nvidia.yaml"""
_DIFF = "Say what differs for a container between two specs; a driver upgrade is one line."
_RESOLVE = """\
Say which file gives each device to containerd: what is shadowed, in conflict, not loaded, not looked at.

Folders come in the order of containerd's cdi_spec_dirs, where the last one wins. Without any: /etc/cdi /var/run/cdi,
containerd's default, and what nvidia-container-runtime.cdi uses whatever containerd is told."""
_SHOW = "Say what a spec gives to containers and needs of the host."


def parser() -> ArgumentParser:
    """The parser; `command` in its result is the subcommand's name."""
    root = ArgumentParser(prog="talos-gpu cdi", description=_ABOUT)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    libraries = [str(library) for library in Library]

    def command(name: str, about: str) -> ArgumentParser:
        shape = RawDescriptionHelpFormatter if "\n" in about else root.formatter_class
        found = commands.add_parser(name, help=about.partition("\n")[0], description=about, formatter_class=shape)
        found.add_argument("--json", action="store_true", dest="as_json", help="print for programs")
        found.add_argument("--library", choices=libraries, help="CDI library: 1.0.1 in containerd 2.1, 1.1.0 from 2.2")
        found.add_argument("--from-node", metavar="STACK", default="", help="read from this stack's node instead")
        found.add_argument("--project", metavar="FOLDER", default=".", help="where the stack's file lies (default: .)")
        return found

    def reads(found: ArgumentParser) -> None:
        found.add_argument("--path", default=SOURCE, help="the file on the node (default: %(default)s)")

    def expects(found: ArgumentParser) -> None:
        found.add_argument("--kind", metavar="VENDOR/CLASS", default="", help="the kind that the spec must have")

    validate = command("validate", _VALIDATE)
    validate.add_argument("files", nargs="*", metavar="FILE", help="specs; - or none: standard input")
    reads(validate)
    expects(validate)

    patch = command("patch", _PATCH)
    patch.add_argument("file", nargs="?", default="", metavar="FILE", help="a spec; - or none: standard input")
    strategies = [str(strategy) for strategy in Strategy]
    patch.add_argument("--strategy", choices=strategies, default=str(Strategy.REAL), help="default: %(default)s")
    patch.add_argument("-o", "--output", default="", metavar="FILE", help="write here, by rename; else to stdout")
    patch.add_argument("-i", "--in-place", action="store_true", help="replace FILE, by rename")
    reads(patch)
    expects(patch)

    diff = command("diff", _DIFF)
    diff.add_argument("old", metavar="OLD", help="a spec; - is standard input")
    diff.add_argument("new", nargs="?", default="", metavar="NEW", help="another; not with --from-node")
    diff.add_argument("--all", action="store_true", dest="every", help="list what a driver upgrade renames too")
    diff.add_argument("--markdown", action="store_true", help="print a Markdown table")
    reads(diff)

    resolve = command("resolve", _RESOLVE)
    resolve.add_argument("folders", nargs="*", metavar="FOLDER")
    resolve.add_argument("--device", metavar="KIND=NAME", default="", help="only: does this device resolve?")

    show = command("show", _SHOW)
    show.add_argument("file", nargs="?", default="", metavar="FILE", help="a spec; - or none: standard input")
    reads(show)
    return root
