"""The comment: exact where a person reads it, below its size whatever the fleet."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talos_gpu.preview.limits import LIMIT, SMALLEST
from talos_gpu.preview.markdown import markdown
from talos_gpu.preview.model import SpecDiff
from tests.preview.previews import HASH, busy, preview, stack

ONE = f"""\
<!-- talos-gpu preview -->
# GPU preview: 2 stacks, 1 with changes

Commit `c0ffeec0ffee`. Hash `{HASH}`.

An approval binds to it: `talos-gpu rollout approve 0123456789ab` takes no other plan.

| stack | create | update | replace | delete | reboot | GPU workloads restarted | CDI spec | policy |
|---|---|---|---|---|---|---|---|---|
| a | 0 | 1 | 0 | 0 | **yes**: machine.files: /etc/x (files are written at boot) | \
media/tdarr-node-gpu-a | 1 change | 1 |
| b | 0 | 0 | 0 | 0 | no | - | same | - |

## a

**Policy**

- **advisory** images-by-digest, a-x: not pinned

**Reboot: yes**: machine.files: /etc/x (files are written at boot).

**CDI spec: known**.

| Change | Where | What |
|---|---|---|
| changed | hook create-symlinks #0: path | /a0 -> /b0 |

**Machine config**.

```diff
--- applied
+++ rendered
@@ -1 +1 @@
-a {"x" * 60}
+b
```

**Drift, found by the refresh; not part of this change**

- a-cdi-source: it is gone

The update mends it too: what else is listed may be for that. Without `--refresh` it is the change alone.

**Resources**

- update Deployment a-0: `spec.template`

**Warnings**

- cdi.image: x:1 is not pinned by digest

## What this rests on

- **The engine**: which resources are created, updated, replaced or deleted, from the program and the state.
- **This program**: machine config, reboot and CDI differences, computed from what was applied last. \
Neither node nor cluster was asked.
- **The official plugins** said which fields differ and what a change replaces.
- Policy pack `policy` was run.
"""


def test_the_whole_comment() -> None:
    assert markdown(preview(stack("b"), busy("a", 1))) == ONE


def test_stand_ins_are_named_where_they_answered() -> None:
    said = markdown(preview(stack("a"), stand_ins=("kubernetes v4.34.2",), policy_pack="", clean=False))
    assert "- **Only the lab's stand-in plugins** (kubernetes v4.34.2) said which fields differ" in said
    assert "- No policy pack was run." in said
    assert "Commit `c0ffeec0ffee`, with uncommitted changes." in said


def test_a_stack_that_cannot_be_previewed_comes_first_with_its_reason() -> None:
    broken = stack("z", faults=("the stack's settings have faults:\n  node.talos: ```",))
    said = markdown(preview(busy("a"), broken))
    assert "**1 stack cannot be updated as it is:** see the first below." in said
    assert said.index("## z") < said.index("## a")
    assert "````\nthe stack's settings have faults:\n  node.talos: ```\n````" in said


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60), st.integers(SMALLEST, LIMIT))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_comment_is_below_its_size_and_counts_every_stack(sizes: list[int], limit: int) -> None:
    said = markdown(preview(*(busy(f"node-{index:03}", size) for index, size in enumerate(sizes))), limit)
    assert len(said.encode()) <= limit
    rows = len(re.findall(r"^\| node-\d+ ", said, re.MULTILINE))
    counted = re.search(r"^\| and (\d+) more ", said, re.MULTILINE)
    assert rows + int(counted[1] if counted else 0) == len(sizes)
    sections = len(re.findall(r"^## node-\d+$", said, re.MULTILINE))
    hidden = re.search(r"Details of (\d+) more stacks? do not fit", said)
    assert sections + int(hidden[1] if hidden else 0) == len(sizes)
    assert said.count("```") % 2 == 0
    assert f"Hash `{HASH}`" in said
    assert said.endswith("was run.\n")


def test_the_largest_change_is_shown_first_and_a_thousand_stacks_fit() -> None:
    said = markdown(preview(*(busy(f"n{index}", 2) for index in range(999)), busy("big", 50)))
    assert len(said.encode()) <= LIMIT
    assert said.index("\n## big\n") < said.index("\n## n0\n")
    assert "| big |" in said.split("\n| ")[2] or said.index("| big |") < said.index("| n0 |")


def test_a_long_block_says_how_many_lines_it_lost() -> None:
    said = markdown(preview(busy("a", 4000)), 8000)
    cut = [int(count) for count in re.findall(r"\.\.\. (\d+) more lines", said)]
    assert cut
    shown = said.count(f"-a {'x' * 60}")
    assert shown + said.count("\n+b") < 8000
    assert sum(cut) > 8000


@pytest.mark.parametrize("text", ["<img src=x>", "@everyone", "a|b\nc"])
def test_what_a_stack_brings_can_neither_notify_nor_break_the_table(text: str) -> None:
    said = markdown(preview(busy(text, 1)))
    body = said.partition("\n## ")[0]
    assert text not in body
    assert all(line.count(" | ") in (0, 8) for line in body.splitlines() if line.startswith("| "))


def test_a_predicted_spec_says_what_it_rests_on() -> None:
    said = markdown(preview(stack("a", spec=SpecDiff(known="predicted", note="hooks only"), changes=busy("a").changes)))
    assert "**CDI spec: predicted**: hooks only." in said
