"""NVIDIA GPUs on Talos Linux in plain Python: CDI, the Talos API, Kubernetes. Knows nothing of Pulumi."""
