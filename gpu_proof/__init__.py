"""Proof on a real GPU: a bundle that carries our commands and their parts to a machine, and `prove`, which runs them.

`python -m gpu_proof.bundle` builds it; `./prove` in it needs Linux with an NVIDIA GPU, root, cgroup v2 and Python 3.11
or later, nothing else. docs/evidence/README.md says what was proven with it.
"""
