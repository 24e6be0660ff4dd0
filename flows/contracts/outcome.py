"""What a run of the loop came to."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, Field


class Outcome(BaseModel):
    """What a run of the loop came to; it holds no text of any user."""

    cause: str = Field(description="Why it was started.")
    detected_at: datetime | None = Field(description="When that was noticed, for a trigger.")
    snapshot: str = Field(description="Digest of the frozen pairs.")
    drift: str = Field(description="Verdict of the drift watch.")
    challenger: int = Field(description="Version that was judged, of several the leading one.")
    verdict: str = Field(description="Of the gate, or of who was asked.")
    champion: int | None = Field(description="Version that is champion now.")
    service: str | None = Field(description="Address where it answers.")
    seconds_to_live: float | None = Field(description="From the detection until the challenger was live.")
    before: Mapping[str, float] = Field({}, description="The incumbent's metrics on the test split.")
    after: Mapping[str, float] = Field({}, description="The challenger's on the same lists.")
