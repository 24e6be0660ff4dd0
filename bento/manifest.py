"""The manifest under its former name."""

from bento.model.manifest import Manifest

__all__ = ["Manifest"]
