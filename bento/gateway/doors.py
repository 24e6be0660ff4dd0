"""Who may pass to which routes."""

import logging

from bento.configuration import ServiceSettings
from bento.errors import RefusedError
from bento.gateway.exchange import Access
from bento.security.authentication import Authenticator
from bento.security.rate import RateLimiter

logger = logging.getLogger("bentoml.reranker")

ANONYMOUS = "anonymous"


class Doors:
    """Authentication, scopes and rate limits, in the order of what they cost."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._authenticator = Authenticator(settings) if settings.authentication == "jwt" else None
        self._limiter = RateLimiter(settings.requests_per_minute, settings.worker_count)
        self._open: set[Access] = {"open"}
        if settings.open_probes:
            self._open.add("probe")
        if settings.open_metrics:
            self._open.add("metrics")
        if self._authenticator is None:
            self._open.update(("probe", "metrics"))
            logger.warning(
                "AUTHENTICATION IS OFF: whoever reaches this port can use the service. "
                "Set RERANKER_SERVICE_AUTHENTICATION=jwt before others do."
            )

    async def admit(self, access: Access, authorization: str | None) -> str:
        """Return who asks; RefusedError 401, 403 or 429 keeps them out."""
        if access in self._open:
            return ANONYMOUS
        if self._authenticator is None:
            if access == "admin":
                advice = (
                    "The administration is closed without authentication: set RERANKER_SERVICE_AUTHENTICATION=jwt."
                )
                raise RefusedError(403, "forbidden", advice)
            self._limiter.take(ANONYMOUS)
            return ANONYMOUS
        identity = await self._authenticator.authenticate(authorization)
        identity.require(access)
        if access in ("rerank", "admin"):
            self._limiter.take(identity.subject)
        return identity.subject
