"""Offline Pulumi: language host, dynamic launcher, and stand-ins for the kubernetes and talos plugins."""
