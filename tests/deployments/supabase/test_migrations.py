"""The migrations, applied to a real PostgreSQL; that the store works on them is tested with the stores."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgresql import MIGRATIONS, Cluster, SqlError

ROOT = Path(__file__).parents[3]
ROW = """insert into labels (key, query, document, relevance, source, created_at, grade, subject_id, request_id)
values (gen_random_uuid(), {query}, 'd', {relevance}, 's', now(), {grade}, {subject}, gen_random_uuid())"""


def row(query: str = "'q'", relevance: int = 1, grade: str = "null", subject: str = "null") -> str:
    return ROW.format(query=query, relevance=relevance, grade=grade, subject=subject)


@pytest.fixture
def database(postgresql: Cluster) -> Cluster:
    postgresql.execute("truncate public.labels, public.quarantine")
    return postgresql


def test_they_are_numbered_without_a_gap() -> None:
    assert [path.name.partition("_")[0] for path in MIGRATIONS] == [f"{n + 1:04}" for n in range(len(MIGRATIONS))]
    assert MIGRATIONS


def test_they_can_be_applied_again_and_keep_the_rows(database: Cluster) -> None:
    database.execute(row(), "service_role")
    database.migrate()
    assert database.rows("select count(*) from labels") == [{"count": 1}]


@pytest.mark.parametrize("role", ["anon", "authenticated"])
@pytest.mark.parametrize(
    "statement",
    [
        "select * from labels",
        "select * from quarantine",
        "delete from labels",
        "update quarantine set reason = 'x'",
        "truncate labels",
        row(),
    ],
)
def test_keys_that_ship_in_apps_can_do_nothing(database: Cluster, role: str, statement: str) -> None:
    with pytest.raises(SqlError) as refused:
        database.execute(statement, role)
    assert refused.value.code == "42501"


@pytest.mark.parametrize("table", ["labels", "quarantine"])
def test_row_level_security_refuses_even_a_role_with_grants(database: Cluster, table: str) -> None:
    quarantined = (
        "insert into quarantine (key, origin, position, reason, raw) values (gen_random_uuid(), '', 1, '', '')"
    )
    database.execute(f"{row()}; {quarantined}", "service_role")
    count = f"select count(*) from {table};"
    granted = f"grant select on {table} to anon; set role anon; {count} reset role;"
    seen = database.execute(f"{count} {granted} revoke select on {table} from anon;")
    assert seen.split() == ["1", "0"]


def test_the_service_role_reads_and_writes_by_policy(database: Cluster) -> None:
    assert database.rows("select rolbypassrls from pg_roles where rolname = 'service_role'") == [
        {"rolbypassrls": False}
    ]
    database.execute(row(), "service_role")
    assert database.rows("select query, document from labels", "service_role") == [{"query": "q", "document": "d"}]
    database.execute("delete from labels", "service_role")
    assert database.rows("select count(*) from labels", "service_role") == [{"count": 0}]


@pytest.mark.parametrize(
    "fault",
    [
        row(query="''"),
        row(query="null"),
        row(relevance=2),
        row(grade="4"),
        row(subject="''"),
        row(subject="repeat('x', 257)"),
    ],
)
def test_rows_that_break_the_contract_are_refused(database: Cluster, fault: str) -> None:
    with pytest.raises(SqlError) as refused:
        database.execute(fault, "service_role")
    assert refused.value.code in ("23514", "23502")


def test_the_largest_names_fit_the_index(database: Cluster) -> None:
    database.execute(row(subject="repeat('🙂', 256)"), "service_role")
    assert database.rows("select char_length(subject_id) as n from labels") == [{"n": 256}]


def test_a_page_is_read_in_order_through_an_index(database: Cluster) -> None:
    many = (
        "select gen_random_uuid(), 'q' || n, 'd', 1, 's', now(), gen_random_uuid() from generate_series(1, 20000) n"
    )
    columns = "key, query, document, relevance, source, created_at, request_id"
    database.execute(f"insert into labels ({columns}) {many}; analyze labels;")
    plan = database.execute("explain select key, query from labels where id > 10000 order by id limit 100")
    assert "Index Scan using labels_pkey" in plan
    assert "Sort" not in plan


def test_updates_are_dated(database: Cluster) -> None:
    database.execute(row(), "service_role")
    database.execute("update labels set grade = 2", "service_role")
    assert database.rows("select grade, updated_at > now() - interval '1 min' as fresh from labels") == [
        {"grade": 2, "fresh": True}
    ]


@pytest.mark.parametrize(("ci", "outcome"), [("true", "1 error"), ("", "1 skipped")])
def test_without_postgresql_the_checks_skip_loudly_and_fail_in_ci(tmp_path: Path, ci: str, outcome: str) -> None:
    test = "import tests.postgresql as it\nit._programs = lambda: None\n"
    test += "postgresql = it.postgresql\ndef test_it(postgresql): pass\n"
    (tmp_path / "test_it.py").write_text(test)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        env={**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome in run.stdout
    assert "NOT checked" in run.stdout
