"""What can go wrong when a release takes over."""

from flows.contracts.failure import Healable


class HostingFailed(Exception):
    """Base of the expected failures of this package."""


class HostBusy(HostingFailed, Healable):
    """Another roll-out is at work on this host."""


class PortTaken(HostingFailed):
    """Something else listens on the service's port."""


class ReleaseRefused(HostingFailed):
    """The new release did not start or answered wrongly, and never got traffic; the old one serves on."""


class ReleaseReverted(HostingFailed):
    """The new release failed with the traffic, which went back to the old one where there was one."""
