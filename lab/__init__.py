"""The embedded lab: a real Kubernetes node with a pretended GPU and a pretended Talos (see lab/README.md)."""
