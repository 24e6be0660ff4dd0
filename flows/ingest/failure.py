"""What stops an import."""


class ImportFailed(Exception):  # noqa: N818 - reads as what happened
    """A file cannot be imported as a whole; the message says what is wrong with it and what to do."""
