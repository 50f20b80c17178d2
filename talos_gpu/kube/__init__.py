"""The little that is needed of a cluster outside Pulumi: nodes, pods, events, exec."""
