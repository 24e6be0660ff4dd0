"""What can go wrong with a store, by what heals it."""

from flows.contracts.failure import Healable


class StoreError(Exception):
    """A store could not do what it was asked; the message says what to do."""


class StoreUnavailableError(Healable, StoreError):
    """Busy, overloaded or out of reach: the same call may succeed later."""


class StoreRefusedError(StoreError):
    """A wrong key, address, file or missing table: only a person can help, trying again cannot."""


class ContractError(StoreError):
    """A batch breaks the pair contract; none of it was stored."""
