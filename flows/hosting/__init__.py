"""Where a Bento serves, how it comes there, and the record of what served when."""

from flows.contracts.release import PackagedBento, Release, ScoredPair
from flows.hosting.failures import HostBusy, HostingFailed, PortTaken, ReleaseRefused, ReleaseReverted
from flows.hosting.host import Host
from flows.hosting.local import LocalProcessHost

__all__ = [
    "Host",
    "HostBusy",
    "HostingFailed",
    "LocalProcessHost",
    "PackagedBento",
    "PortTaken",
    "Release",
    "ReleaseRefused",
    "ReleaseReverted",
    "ScoredPair",
]
