"""`python -m talos_gpu` is `talos-gpu`."""

from talos_gpu.cli import main

main()
