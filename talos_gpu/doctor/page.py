"""docs/troubleshooting.md, made from the checks and the known texts; a test pins it."""

from __future__ import annotations

from collections.abc import Iterator

from talos_gpu.doctor.checks import CHECKS
from talos_gpu.doctor.known import ALL
from talos_gpu.doctor.links import links
from talos_gpu.verify.words import ALL as WORDS

_HEAD = """# Troubleshooting

Made from the program by `python -m talos_gpu.doctor.page > docs/troubleshooting.md`; do not edit.

| Command | Does |
|---|---|
| `talos-gpu doctor STACK` | looks at node and cluster, names the roots, hangs the rest beneath them |
| `talos-gpu doctor STACK --save FOLDER` | the same, and keeps the evidence, redacted: attach it to an issue |
| `talos-gpu doctor --from FOLDER` | diagnoses saved evidence, ours or outputs of kubectl and talosctl |
| `talos-gpu doctor --local` | this machine: containerd and the NVIDIA toolkit without Talos or Kubernetes |
| `talos-gpu explain "ERROR TEXT"` | what a text means; also from stdin, or `--pod NAMESPACE/NAME` for its events |

<!-- run: pure -->

```sh
talos-gpu explain "nvidia-container-runtime-wrapper: unknown command nvidia-cdi-hook"
```

Exit codes: 0 nothing wrong, 1 something is, 2 it could not be told: nothing was found, and node or cluster gave no
evidence for a check of severity error. Only roots count: what another finding explains is shown beneath it;
[Faults and findings](faults.md) lists faults that were made and what was found. A check whose evidence cannot be read
says why, and the first line how many ran. With role os:reader that is every file of the node, which is no 2 but the
answer that a reader can have: `nothing wrong found in what could be looked at: 38 of 67 checks`.

The embedded lab has nothing wrong:

<!-- run: lab -->

```sh
talos-gpu doctor lab --project ~/.local/state/talos-nvidia-lab/lab --save ~/evidence
talos-gpu doctor --from ~/evidence
```

What is saved has no values of env but those that checks read, no commands of pods without a GPU, no annotations of
others, and no words that look like a secret. Look through it all the same.

For evidence gathered by hand, a folder with any of these is enough: CDI specs (`*.yaml`), containerd parts (`*.part`,
`config.toml`), `dmesg*`, `kubectl get pods,events,nodes -A -o yaml` (or json), and any other text (`*.txt`, `*.log`),
whose words are looked up as `explain` does. Each in a file of its own, under any name. The Talos release is the node's:
`osImage` in `kubectl get nodes`.
"""


def _rows(cells: Iterator[tuple[str, ...]]) -> Iterator[str]:
    for row in cells:
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"


def _sourced(source: str) -> str:
    return " ".join([source, *(f"[{number}]({link})" for number, link in enumerate(links(source), 1))])


def troubleshooting() -> str:
    """The page's text."""
    lines = [_HEAD, "## What the doctor looks for", ""]
    for check in CHECKS:
        lines += [
            f"### {check.name}",
            f"{check.cause}",
            "",
            f"- severity: {check.severity}",
            f"- remedy: {check.remedy}",
        ]
        if check.explains:
            lines.append(f"- explains: {', '.join(check.explains)}")
        lines += [f"- source: {_sourced(check.source)}", ""]
    lines += ["## Error texts", "", "| Text (as a pattern) | Cause | Remedy | Source |", "| --- | --- | --- | --- |"]
    lines += _rows((f"`{one.pattern.pattern}`", one.cause, one.remedy, _sourced(one.source)) for one in ALL)
    lines += ["", "## ffmpeg's and nvidia-smi's words", ""]
    lines += ["| Text (as a pattern) | Cause | Remedy | Source |", "| --- | --- | --- | --- |"]
    lines += _rows(
        (f"`{one.pattern.pattern}`", one.cause.sentence, one.cause.remedy, _sourced(one.cause.source)) for one in WORDS
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(troubleshooting())
