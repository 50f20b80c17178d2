"""`talos-gpu` beside servers of the same event loop, which answer it while it runs."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


async def talos_gpu(folder: Path, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `talos-gpu WORDS` in `folder`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "talos_gpu", *words),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()
