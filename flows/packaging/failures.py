"""What can go wrong on the way to a Bento; none of it heals by trying again."""


class PackagingFailed(Exception):
    """Base of the expected failures of this package."""


class ExportFailed(PackagingFailed):
    """The folder holds no CrossEncoder that can be exported."""


class ExportDiffers(PackagingFailed):
    """The exported model scores otherwise than the trained one, in every engine that is allowed."""


class QuantisationFailed(PackagingFailed):
    """The network cannot be quantised."""


class BuildFailed(PackagingFailed):
    """BentoML could not build the Bento."""
