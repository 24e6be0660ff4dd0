"""What a frozen snapshot must be, so that training and the gate's verdict can be trusted."""

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.expectations.metadata_types import FailureSeverity

from flows.contracts.snapshot import SPLITS
from flows.settings import ValidationSettings

CRITICAL, WARNING = FailureSeverity.CRITICAL, FailureSeverity.WARNING


def pairs() -> gx.ExpectationSuite:
    """Return the suite for the snapshot's pairs, a row each, with `query_id_of_text` computed anew."""
    return gx.ExpectationSuite(
        name="snapshot-pairs",
        expectations=[
            gxe.ExpectColumnValuesToBeInSet(
                column="split",
                value_set=list(SPLITS),
                severity=CRITICAL,
                description=f"Every pair stands on one of the sides {', '.join(SPLITS)}",
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="relevance", value_set=[0, 1], severity=CRITICAL, description="Every relevance is 0 or 1"
            ),
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A="query_id",
                column_B="query_id_of_text",
                severity=CRITICAL,
                description="Every query_id is that of the query's normalised text",
            ),
            gxe.ExpectCompoundColumnsToBeUnique(
                column_list=["query_id", "document_id"],
                severity=CRITICAL,
                description="No pair of query and document is repeated",
            ),
        ],
    )


def queries(settings: ValidationSettings) -> gx.ExpectationSuite:
    """Return the suite for the snapshot's queries: a row for each query on each side."""
    return gx.ExpectationSuite(
        name="snapshot-queries",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=settings.min_queries,
                severity=CRITICAL,
                description=f"At least {settings.min_queries:,} queries are left after cleaning",
                meta={"observed": "{:,} queries"},
            ),
            gxe.ExpectColumnValuesToBeUnique(
                column="query_id",
                severity=CRITICAL,
                description="No query stands on two sides of the split, in whatever spelling",
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="rankable",
                value_set=[True],
                severity=CRITICAL,
                description="Every query has a positive, and a negative where it is used for measuring",
            ),
        ],
    )


def sides(settings: ValidationSettings) -> gx.ExpectationSuite:
    """Return the suite for the sides of the split, a row each, oldest first."""
    return gx.ExpectationSuite(
        name="snapshot-sides",
        expectations=[
            gxe.ExpectColumnValuesToBeBetween(
                column="queries", min_value=1, severity=CRITICAL, description="No side of the split is empty"
            ),
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A="oldest_query_at",
                column_B="newest_query_before_at",
                or_equal=True,
                ignore_row_if="either_value_is_missing",
                severity=CRITICAL,
                description="Every query is at least as new as those of the sides before its own",
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="test_queries",
                min_value=settings.min_test_queries,
                severity=WARNING,
                description=f"At least {settings.min_test_queries:,} queries are there to measure on",
            ),
        ],
    )
