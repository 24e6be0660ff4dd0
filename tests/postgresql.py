"""A real PostgreSQL in a folder, for tests that check SQL; spoken to through psql, so that no driver is needed."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MIGRATIONS = sorted((Path(__file__).parents[1] / "deployments" / "supabase" / "migrations").glob("*.sql"))

# What a Supabase project has before the first migration: its roles, and every right on new tables for all of them.
# There, service_role also bypasses row-level security; here it does not, so the policies themselves are tested.
_PROJECT = """
create role anon; create role authenticated; create role service_role;
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
"""


class SqlError(Exception):
    """PostgreSQL refused; `code` is its SQLSTATE."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.code = said.partition("ERROR:  ")[2][:5]


class Cluster:
    """A running server with one database."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        # PostgreSQL refuses to run as root; its own account is there wherever it was installed as a package
        self._account = "postgres" if os.geteuid() == 0 else None

    def start(self) -> None:
        data, account = self._folder / "data", self._account
        if account:
            shutil.chown(self._folder, account)
        self._run(
            "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"
        )
        options = f"-k {self._folder} -c listen_addresses='' -c fsync=off -c timezone=Europe/Berlin"
        self._run("pg_ctl", "-D", data, "-o", options, "-l", self._folder / "log", "-w", "start")
        self.execute(_PROJECT)

    def stop(self) -> None:
        if (self._folder / "data" / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self._folder / "data", "-m", "immediate", "-w", "stop")

    def migrate(self) -> None:
        for path in MIGRATIONS:
            self.execute(path.read_text("utf-8"))

    def execute(self, sql: str, role: str = "postgres") -> str:
        """Run `sql` in one transaction as `role` and return what it prints; SqlError when it is refused."""
        psql = [self._programs / "psql", "-XqAt", "-1", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"]
        address = ["-h", str(self._folder), "-U", "postgres", "-d", "postgres"]
        script = f'set role "{role}";\n{sql}'
        done = subprocess.run([*psql, *address], input=script.encode(), capture_output=True, check=False)
        if done.returncode:
            raise SqlError(done.stderr.decode())
        return done.stdout.decode()

    def rows(self, sql: str, role: str = "postgres") -> list[dict[str, object]]:
        """Return the rows of a query as PostgREST would write them in JSON."""
        return json.loads(self.execute(f"select coalesce(json_agg(t), '[]') from ({sql}) t", role))

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._programs / program), *map(str, arguments)]
        log = self._folder / f"{program}.out"  # not a pipe: the server would inherit it and hold it open
        with log.open("wb") as out:
            done = subprocess.run(
                command, stdout=out, stderr=out, cwd=self._folder, user=self._account, check=False, timeout=120
            )
        assert done.returncode == 0, f"{command}: {log.read_text()}"


def _programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; Debian keeps them off the path."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if all((f / p).exists() for p in ("initdb", "pg_ctl", "psql"))), None)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A migrated PostgreSQL. Without one the test is skipped with a word, and in CI it fails."""
    programs = _programs()
    if programs is None:
        message = "no PostgreSQL on this machine: the migrations were NOT checked (apt-get install postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    # Not under tmp_path, which other accounts may not enter; and short, as the name of a socket must be.
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    cluster = Cluster(programs, folder)
    try:
        cluster.start()
        cluster.migrate()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder)
