"""On a terminal the comment is laid out; its text is the Markdown's at every width."""

from __future__ import annotations

import os
import sys

import pytest

from talos_gpu.preview.markdown import markdown
from tests.preview.conftest import ROOT, Reviewed
from tests.preview.previews import busy, preview, stack
from tests.preview.terminal import of_markdown, of_screen, screen

SHOW = "import sys; from talos_gpu.preview.terminal import show; show(sys.argv[1])"


@pytest.mark.parametrize("columns", [80, 120])
def test_nothing_is_cut_off(columns: int) -> None:
    broken = stack("z", faults=("the stack's settings have faults:\n  node.talos: " + "x" * 200,))
    text = markdown(preview(busy("talos05", 20), busy("<odd>|`name`", 2), stack("quiet"), broken))
    lines = screen([sys.executable, "-c", SHOW, text], columns, cwd=ROOT, env=os.environ)
    assert max(map(len, lines)) <= columns
    assert of_screen(lines) == of_markdown(text)


def test_the_command_says_on_a_terminal_what_it_writes_to_a_file(reviewed: Reviewed) -> None:
    words = ("preview", "talos05", "--no-policy")
    said = reviewed.talos_gpu(*words)
    command = [sys.executable, "-m", "talos_gpu", *words]
    lines = screen(command, 80, cwd=reviewed.folder, env=reviewed.environment)
    assert "\n## talos05\n" in said
    assert of_screen(lines) == of_markdown(said)
