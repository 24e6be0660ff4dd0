"""One request and its reply, as the routes see them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Access = Literal["open", "probe", "metrics", "rerank", "admin"]
"""Who may call a route: everybody; who may probe or read metrics (a setting each); holders of either scope."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose sender is known and whose body is within the limits."""

    id: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    """Names in lower case."""
    subject: str
    """Who sends it, "anonymous" where nobody has to say."""
    deadline: float
    """Of `time.monotonic()`: when the answer is of no use any more."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Route:
    """A path and method with what answers there. RefusedError becomes the error it says.

    The handler is cancelled when the sender hangs up.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    access: Access
    handle: Callable[[Request], Awaitable[Reply]]
