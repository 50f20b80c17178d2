"""What this project is called."""

PROJECT = "talos-nvidia-cdi"
"""The project's name, which is its configuration's namespace."""
