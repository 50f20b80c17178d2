"""The pretended GPU: mock NVIDIA driver libraries, and how they are made to fail."""
