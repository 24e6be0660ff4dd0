"""What the labelled pairs of the store must be, before cleaning repairs anything.

Critical is what cleaning must not paper over: a broken contract, labels that mean something else, too little data.
A warning is what cleaning drops and counts, or what a person should know.
"""

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from flows.contracts.pair import PAIR_SCHEMA
from flows.settings import CleaningSettings, ValidationSettings

CRITICAL, WARNING = FailureSeverity.CRITICAL, FailureSeverity.WARNING


def columns() -> gx.ExpectationSuite:
    """Return the suite for the table's schema: a row for each column with `name`, `expected` and `found` type."""
    return gx.ExpectationSuite(
        name="labelled-pairs-columns",
        expectations=[
            gxe.ExpectColumnValuesToNotBeNull(
                column="found",
                severity=CRITICAL,
                description=f"The table has every column of a labelled pair: {', '.join(PAIR_SCHEMA.names)}",
            ),
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A="expected",
                column_B="found",
                ignore_row_if="either_value_is_missing",
                severity=CRITICAL,
                description="Every column has the type of the contract",
            ),
        ],
    )


def pairs(settings: ValidationSettings, cleaning: CleaningSettings) -> gx.ExpectationSuite:
    """Return the suite for the pairs, a row each, with the columns that `flows.validation.frames.pairs` adds."""
    return gx.ExpectationSuite(
        name="labelled-pairs",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=settings.min_pairs,
                severity=CRITICAL,
                description=f"There are at least {settings.min_pairs:,} pairs",
                meta={"observed": "{:,} pairs"},
            ),
            *(
                gxe.ExpectColumnValuesToNotBeNull(
                    column=field.name, severity=CRITICAL, description=f"Every pair has a {field.name}"
                )
                for field in PAIR_SCHEMA
                if not field.nullable
            ),
            *_labels(settings),
            *_texts(cleaning),
            *_repeats(settings),
            *_dates(settings),
        ],
    )


def queries(settings: ValidationSettings, cleaning: CleaningSettings) -> gx.ExpectationSuite:
    """Return the suite for the queries, a row each with the columns of `flows.validation.frames.queries`."""
    return gx.ExpectationSuite(
        name="labelled-queries",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=settings.min_queries,
                severity=CRITICAL,
                description=f"There are at least {settings.min_queries:,} queries",
                meta={"observed": "{:,} queries"},
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="candidates",
                min_value=cleaning.min_candidates,
                mostly=1 - settings.max_thin_queries,
                severity=WARNING,
                description=f"At most {settings.max_thin_queries:.0%} of queries have fewer than "
                f"{cleaning.min_candidates} candidates; cleaning drops those",
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="rankable",
                value_set=[True],
                mostly=1 - settings.max_unrankable_queries,
                severity=WARNING,
                description=f"At most {settings.max_unrankable_queries:.0%} of queries lack a positive or negative; "
                "cleaning drops those",
            ),
        ],
    )


def _labels(settings: ValidationSettings) -> list[Expectation]:
    low, high = settings.positive_share_from, settings.positive_share_to
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="relevance", value_set=[0, 1], severity=CRITICAL, description="Every relevance is 0 or 1"
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="grade",
            value_set=[0, 1, 2, 3],
            severity=CRITICAL,
            description="Every grade that is given is 0, 1, 2 or 3",
        ),
        gxe.ExpectColumnMeanToBeBetween(
            column="relevance",
            min_value=low,
            max_value=high,
            severity=CRITICAL,
            description=f"Between {low:.0%} and {high:.0%} of pairs are positive",
            meta={"observed": "{:.1%} positive"},
        ),
    ]


def _texts(cleaning: CleaningSettings) -> list[Expectation]:
    limits = {"query": cleaning.max_query_characters, "document": cleaning.max_document_characters}
    blank = [
        gxe.ExpectColumnValuesToBeInSet(
            column=f"{text}_is_blank",
            value_set=[False],
            severity=WARNING,
            description=f"No {text} is blank; cleaning drops those",
        )
        for text in limits
    ]
    long = [
        gxe.ExpectColumnValuesToBeBetween(
            column=f"{text}_characters",
            max_value=limit,
            severity=WARNING,
            description=f"No {text} is longer than {limit:,} characters; cleaning drops those",
        )
        for text, limit in limits.items()
    ]
    return [*blank, *long]


def _repeats(settings: ValidationSettings) -> list[Expectation]:
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="is_repeated",
            value_set=[False],
            mostly=1 - settings.max_duplicates,
            severity=WARNING,
            description=f"At most {settings.max_duplicates:.0%} of pairs repeat another with the same label; "
            "cleaning keeps the newest",
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="is_contradicted",
            value_set=[False],
            mostly=1 - settings.max_conflicts,
            severity=WARNING,
            description=f"At most {settings.max_conflicts:.0%} of pairs stand there with both labels; "
            "cleaning keeps the newest",
        ),
    ]


def _dates(settings: ValidationSettings) -> list[Expectation]:
    return [
        gxe.ExpectColumnMinToBeBetween(
            column="age_days",
            max_value=settings.max_age_days,
            severity=WARNING,
            description=f"The newest pair is at most {settings.max_age_days:g} days old",
            meta={"observed": "{:,.0f} days old"},
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="is_in_future",
            value_set=[False],
            severity=WARNING,
            description="No pair is dated in the future; cleaning drops those",
        ),
    ]
