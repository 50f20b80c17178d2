"""One stack: one Talos node with an NVIDIA GPU and the Tdarr worker that encodes on it."""

from __future__ import annotations

import pulumi

from components.program import declare
from components.stack_config import load
from talos_gpu.errors import UsageError

try:
    node = declare(load())
except UsageError as error:
    raise pulumi.RunError(str(error)) from None  # the user's fault: the message alone, no traceback
for key, value in node.outputs.items():
    pulumi.export(key, value)
