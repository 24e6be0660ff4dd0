"""What every section of the settings has."""

import hashlib
import json
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Port = Annotated[int, Field(ge=1, le=65_535)]


class Section(BaseModel):
    """A group of settings. Two equal groups have equal digests, so finished work can be recognised."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def digest(self) -> str:
        """Return 16 hex digits over every value of the section; secrets count by presence alone."""
        values = self.model_dump(mode="json")
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
