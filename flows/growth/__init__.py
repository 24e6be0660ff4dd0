"""Whether there are so many more labelled pairs than the champion knew that training again is worth it."""

from flows.growth.growth import GrowthReport, measure

__all__ = ["GrowthReport", "measure"]
