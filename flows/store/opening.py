"""Choosing the store that the settings name."""

from pathlib import Path

from flows.settings import StoreSettings
from flows.store.errors import StoreRefusedError
from flows.store.label_store import LabelStore
from flows.store.sqlite import SqliteLabelStore


def open_store(settings: StoreSettings, default_path: Path) -> LabelStore:
    """Return the store of `settings`; `default_path` is the SQLite file where they name none.

    Opening makes the SQLite file when it is not there, and does not speak to Supabase yet. StoreRefusedError says
    which setting is missing.
    """
    if settings.kind == "sqlite":
        return SqliteLabelStore(settings.path or default_path)
    if settings.supabase_url is None or settings.supabase_key is None:
        raise StoreRefusedError(
            "the Supabase store needs RERANKER_STORE__SUPABASE_URL and RERANKER_STORE__SUPABASE_KEY: "
            "set them, or RERANKER_STORE__KIND=sqlite"
        )
    from flows.store.supabase import SupabaseLabelStore  # takes a second to import

    return SupabaseLabelStore(
        settings.supabase_url,
        settings.supabase_key.get_secret_value(),
        page_size=settings.page_size,
        retries=settings.retries,
    )
