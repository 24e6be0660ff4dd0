"""Which column of a file holds which field of a pair."""

from collections.abc import Collection, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from flows.ingest.failure import ImportFailed

REQUIRED = ("query", "document", "relevance")


class ColumnMapping(BaseModel):
    """The file's name for each field; a file that uses the contract's names needs none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str = Field("query", min_length=1)
    document: str = Field("document", min_length=1)
    relevance: str = Field("relevance", min_length=1)
    source: str = Field("source", min_length=1)
    created_at: str = Field("created_at", min_length=1)
    grade: str = Field("grade", min_length=1)
    subject_id: str = Field("subject_id", min_length=1)

    def found_in(self, path: Path, columns: Collection[str]) -> Mapping[str, str]:
        """Return field -> column for the fields that a file with `columns` holds.

        Optional fields may be missing, unless the mapping names them. ImportFailed names what is missing and what
        is there.
        """
        names = {field: str(getattr(self, field)) for field in type(self).model_fields}
        needed = {*REQUIRED, *self.model_fields_set}
        missing = {field: column for field, column in names.items() if field in needed and column not in columns}
        if missing:
            wanted = ", ".join(f"{column!r}" for column in missing.values())
            options = " ".join(f"--column {field}=NAME" for field in missing)
            raise ImportFailed(
                f"{path} has no column {wanted}. Its columns: {', '.join(map(repr, columns)) or 'none'}. "
                f"Say which one to use: {options}"
            )
        return {field: column for field, column in names.items() if column in columns}
