"""How BentoML comes to serve through the gateway."""

import bentoml
from starlette.types import ASGIApp

from bento.api.openapi import DocumentedService
from bento.configuration import load_settings
from bento.gateway.application import Gateway, Parts


class GatedService(DocumentedService):
    """A BentoML service whose application stands behind the gateway."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """Return the gateway with BentoML's own application behind it."""
        return Gateway(super().to_asgi(is_main), load_settings(), _parts)


def _parts() -> Parts:
    parts: Parts = bentoml.get_current_service().parts()
    return parts
