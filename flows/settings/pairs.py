"""The labelled pairs: where they are, what is kept of them, and what they must show."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from flows.settings.section import Section


class StoreSettings(Section):
    """The labels table."""

    kind: Literal["sqlite", "supabase"] = Field("sqlite", description="Which store holds the labelled pairs.")
    path: Path | None = Field(None, description="SQLite file; default: labels.db under the home folder.")
    supabase_url: str | None = Field(None, description="https://<project>.supabase.co")
    supabase_key: SecretStr | None = Field(None, description="Service role key; never logged.")
    page_size: int = Field(1000, ge=1, le=10_000, description="Rows a request, where the store is remote.")
    retries: int = Field(5, ge=0, description="Tries again on 429 and 5xx, with backoff.")


class CleaningSettings(Section):
    """From stored pairs to a frozen snapshot."""

    max_query_characters: int = Field(2_000, description="Longer queries are dropped and counted.")
    max_document_characters: int = Field(20_000, description="Longer documents are dropped and counted.")
    min_candidates: int = Field(2, description="Queries with fewer candidates are dropped and counted.")
    test_share: float = Field(0.15, gt=0, lt=1, description="Newest share of queries, for the gate alone.")
    validation_share: float = Field(0.10, ge=0, lt=1, description="Newest share of the rest, for checkpoints.")
    positive_share: float = Field(
        0.30, gt=0, le=1, description="Negatives of the training side are undersampled to reach this share."
    )
    seed: int = Field(13, description="Of the undersampling.")


class ValidationSettings(Section):
    """Limits of the Great Expectations suites."""

    max_age_days: float = Field(30, gt=0, description="Warn when the newest pair is older.")
    min_pairs: int = Field(200, ge=1, description="Fewer pairs stop the run.")
    min_queries: int = Field(50, ge=1, description="Fewer queries stop the run.")
    positive_share_from: float = Field(0.02, description="A lower positive share stops the run.")
    positive_share_to: float = Field(0.80, description="A higher positive share stops the run.")
    max_thin_queries: float = Field(0.20, description="Warn when more queries have too few candidates.")
    max_unrankable_queries: float = Field(0.30, description="Warn when more queries lack a positive or a negative.")
    max_duplicates: float = Field(0.05, description="Warn when more pairs are repeated.")
    max_conflicts: float = Field(0.02, description="Warn when more pairs stand there with both labels.")
    min_test_queries: int = Field(30, ge=1, description="Warn when fewer queries are left for the gate.")
