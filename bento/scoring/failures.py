"""How a request learns that it gets no scores, and the log why."""

import logging
import traceback

from bento.errors import RefusedError

logger = logging.getLogger("bentoml.reranker")


def no_score() -> RefusedError:
    """Return what a request is told that holds a pair without a score."""
    message = "The model gives no score for one of these documents: report this request_id to its operator."
    return RefusedError(500, "internal_error", message)


def late() -> RefusedError:
    """Return what a request is told whose deadline is over."""
    message = "The scores were not ready in time: send fewer documents, or try again later."
    return RefusedError(504, "deadline_exceeded", message)


def log(what: str, failure: BaseException) -> None:
    """Tell where `what` failed, but not the message: it may hold what a client sent."""
    frames = "".join(traceback.format_tb(failure.__traceback__))
    logger.error("the %s failed with %s:\n%s", what, type(failure).__name__, frames)
