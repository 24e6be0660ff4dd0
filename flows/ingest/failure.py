"""What stops an import."""


class ImportFailed(Exception):
    """A file cannot be imported as a whole; the message says what is wrong with it and what to do."""
