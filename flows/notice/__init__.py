"""What people are told when a run of the loop has ended."""

from flows.notice.notice import Notice, Side, Step, headline, to_markdown

__all__ = ["Notice", "Side", "Step", "headline", "to_markdown"]
