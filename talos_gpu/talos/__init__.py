"""Talos Linux: machine API over mTLS, talosconfig, releases, machine config, node facts."""
