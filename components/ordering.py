"""Order inside a component."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pulumi


def waits(opts: pulumi.ResourceOptions | None) -> list[pulumi.Resource]:
    """What a component was told to wait for: its children do not inherit `depends_on` and must be told themselves."""
    given = opts.depends_on if opts is not None else None
    return list(cast("Sequence[pulumi.Resource]", given)) if isinstance(given, Sequence) else []
