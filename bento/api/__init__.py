"""The shapes in which clients ask, all translated to one ranking."""

from bento.api.models import ModelCard
from bento.api.ranker import Limits, RankedDocument, Ranker, Ranking, RankTask
from bento.api.routes import routes
from bento.api.score import ScoreCheck

__all__ = ["Limits", "ModelCard", "RankTask", "RankedDocument", "Ranker", "Ranking", "ScoreCheck", "routes"]
