"""What `pulumi-resource-pulumi-python` runs: the SDK's own server for dynamic providers, not outliving its engine.

It runs in the program's environment with the project's folder as working directory, and puts that folder on sys.path as
`python -m pulumi.dynamic` would: a provider whose class lies in an importable module is then stored by reference.
"""

import os
import runpy
import sys
import threading
import time
from pathlib import Path


def end_with_parent(seconds: float = 1.0) -> None:
    """End this process soon after the one that started it is gone; a killed engine closes nothing."""
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=look, daemon=True, name="end-with-parent").start()


if __name__ == "__main__":
    end_with_parent()
    sys.path[0] = str(Path.cwd())
    runpy.run_module("pulumi.dynamic", run_name="__main__", alter_sys=True)
