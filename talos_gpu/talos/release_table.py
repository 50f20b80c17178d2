"""The releases as docs/machine-config.md shows them: `python -m talos_gpu.talos.release_table`."""

from __future__ import annotations

import sys

from talos_gpu.talos.drivers import Generation, flavours
from talos_gpu.talos.releases import CRI_SECTION_1, RELEASES, ReleaseFacts, spelled

_HEAD = (
    "| Talos | Proven | Toolkit | Driver lts, production | containerd | Hooks | CDI folders by default | Methods | "
    "Pascal takes |"
)


def table() -> str:
    """Return the table as Markdown."""
    rows = [_HEAD, "|" + "---|" * (_HEAD.count("|") - 1), *map(_row, RELEASES)]
    return "\n".join(rows) + "\n"


def _row(facts: ReleaseFacts) -> str:
    proven = "in the lab" if facts.proven else "no: read from sources"
    hooks = "`nvidia-ctk`, known to the wrapper" if facts.cdi_hook is None else f"`{facts.cdi_hook}`"
    section = " (section `io.containerd.grpc.v1.cri`)" if facts.cri_section == CRI_SECTION_1 else ""
    cells = (
        facts.minor,
        proven,
        facts.toolkit,
        f"{facts.lts_driver}, {facts.production_driver}",
        f"{facts.containerd}{section}",
        hooks,
        ", ".join(f"`{folder}`" for folder in facts.cdi_spec_dirs_default),
        ", ".join(spelled(method) for method in facts.methods),
        ", ".join(f"-{flavour}" for flavour in flavours(facts, Generation.PASCAL)) if facts.minor != "1.7" else "any",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(table())
