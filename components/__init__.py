"""The Pulumi resources: the only folder that imports pulumi and its packages."""
