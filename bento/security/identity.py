"""Who sends a request, and what that allows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bento.errors import RefusedError
from bento.gateway.exchange import Access

REALM = "reranker"


@dataclass(frozen=True, slots=True)
class Identity:
    """The holder of a token that was verified."""

    subject: str
    scopes: frozenset[str]
    needs: Mapping[Access, frozenset[str]] = field(default_factory=dict, repr=False, compare=False)
    """One of these scopes opens a route of this access; one that is not named here is open to every token."""

    def require(self, access: Access) -> None:
        """Pass when a scope of the token opens `access`; RefusedError 403 otherwise."""
        needed = self.needs.get(access)
        if needed is None or not needed.isdisjoint(self.scopes):
            return
        names = " ".join(sorted(needed))
        challenge = f'Bearer realm="{REALM}", error="insufficient_scope", scope="{names}"'
        advice = (
            f"The token lacks the scope this route needs ({' or '.join(sorted(needed))}): ask its issuer for one."
        )
        raise RefusedError(403, "forbidden", advice, {"www-authenticate": challenge})
