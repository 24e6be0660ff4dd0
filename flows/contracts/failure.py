"""How failures tell whether trying again can help."""


class Healable(Exception):
    """Base of failures that a later attempt can heal: a server away, a connection lost, too many requests."""
