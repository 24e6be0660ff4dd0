"""Messages to people, through a notification block that somebody made in Prefect."""

import re
from typing import Any, cast

from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block

from flows.contracts.failure import Healable


class NotSent(Exception):
    """A message did not go out. The message names the block, never its address, which may be a secret."""


class NotSentYet(NotSent, Healable):
    """The receiver is away or refuses for now."""


def send(block: str, subject: str, body: str) -> None:
    """Send through the block `<type>/<name>`, such as `slack-webhook/team`.

    Raises:
        NotSent: there is no such block, or it is not one for notifications.
        NotSentYet: it could not deliver.
    """
    try:
        loaded = cast(Any, Block.load(block))
    except ValueError:
        raise NotSent(f"There is no Prefect block {block}: make it in Prefect's UI, or name another.") from None
    if not isinstance(loaded, NotificationBlock):
        raise NotSent(f"The Prefect block {block} sends no notifications: name one that does.")
    try:
        with loaded.raise_on_failure():
            cast(Any, loaded).notify(body, subject)
    except Exception as error:  # noqa: BLE001 - blocks of all kinds; what they say may hold their address
        status = re.search(r"\b[45]\d\d\b", str(error))
        why = type(error).__name__ + (f", status {status[0]}" if status else "")
        raise NotSentYet(f"The Prefect block {block} could not deliver ({why}).") from None
