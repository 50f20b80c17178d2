"""Specs of any size."""

from __future__ import annotations


def many_hooks(count: int) -> str:
    """A spec with that many hooks, laid out as nvidia-ctk 1.17.8 does."""
    head = "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- containerEdits:\n    env: [A=b]\n  name: all\n"
    hooks = (
        "  - args:\n    - nvidia-cdi-hook\n    - create-symlinks\n    - --link\n"
        f"    - libcuda.so.1::/usr/local/glibc/usr/lib/{index}/libcuda.so\n    env:\n    - NVIDIA_CTK_DEBUG=false\n"
        "    hookName: createContainer\n    path: /usr/local/bin/nvidia-cdi-hook\n"
        for index in range(count)
    )
    return head + "containerEdits:\n  hooks:\n" + "".join(hooks)
