"""The running stack's settings, from Pulumi's configuration."""

from __future__ import annotations

import pulumi
from pulumi.runtime import config

from talos_gpu import settings


def load() -> settings.Settings:
    """The settings of the running stack. Raises SettingsInvalid with every fault, files that are missing included."""
    raw = {**config.get_config_env(), **config.CONFIG.get()}
    prefix = f"{pulumi.get_project()}:"
    values = {key.removeprefix(prefix): value for key, value in raw.items() if key.startswith(prefix)}
    return settings.load(values, {key for key in values if config.is_config_secret(prefix + key)})
