"""What all models of the settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Types as they are, unknown keys refused, values fixed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, validate_default=True)
