"""Keep a reranker good, on this machine: bring the stack up, import pairs, play the demo, ask the service."""

import os
import signal
import sys
from collections.abc import Collection
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.settings import Settings, load_settings

if TYPE_CHECKING:
    from deployments.local.stack import Stack

application = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
console = Console()


def main() -> None:
    """Run the command line: an expected failure is one message and exit status 1, never a traceback."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, _as_interrupt)
    try:
        application()
    except Exception as failure:
        if not _is_expected(failure):
            raise
        _complain(type(failure).__name__, failure)


@application.command()
def up() -> None:
    """Start the servers and the worker, and register the deployments of prefect.yaml."""
    settings = _start(load_settings())
    _show_addresses(settings)


@application.command()
def stop() -> None:
    """Stop everything that was started here, the service included, and nothing else."""
    _stop(load_settings())


@application.command()
def status() -> None:
    """Show what runs, and where."""
    from deployments.local.stack import Stack
    from flows.hosting import LocalProcessHost

    settings = load_settings()
    for part in Stack(settings).status():
        console.print(f"{part.title:<20} {part.state:<14} {part.url}", highlight=False)
    release = LocalProcessHost(settings.host, settings.folder("host")).current()
    state = f"version {release.bento.model_version}  {release.url}" if release else "stopped"
    console.print(f"{'Service':<20} {state}", highlight=False)


@application.command()
def demo() -> None:
    """Play the loop twice on the docstrings of installed packages: a first champion, then drift and a better one."""
    from deployments.local.demo_training import demo_settings
    from flows.hosting import LocalProcessHost

    settings = demo_settings(load_settings())
    try:
        LocalProcessHost(settings.host, settings.folder("host")).require_port()
        settings = _start(settings)
        from deployments.local.demo import play  # after _start: Prefect reads its address when it is imported

        play(settings, console)
        _show_addresses(settings)
        console.print("\n`make stop` ends all of it; `make demo` again takes up what is done.", highlight=False)
    except (KeyboardInterrupt, SystemExit):  # the latter: a termination or a hang-up while the stack starts
        console.print("\nInterrupted: stopping everything ...")
        _stop(settings)
        sys.exit(130)


@application.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL, Parquet, or a BEIR folder.")],
    column: Annotated[
        list[str] | None, typer.Option(help="A field that has another name in the file: --column query=question")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Names the origin of rows that do not name their own.")] = None,
) -> None:
    """Put labelled pairs into the store; rows that cannot be used go to the quarantine with their reason."""
    from flows.ingest import ColumnMapping, import_pairs
    from flows.store import open_store

    settings = load_settings()
    mapping = ColumnMapping(**_columns(column or [], ColumnMapping.model_fields))
    with open_store(settings.store, settings.file("labels.db")) as store, console.status("reading ...") as shown:
        report = import_pairs(
            path, store, mapping=mapping, source=source, progress=lambda so_far: shown.update(f"{so_far.read:,} rows")
        )
    console.print(report.render(), highlight=False, markup=False)


@application.command()
def quarantine(limit: Annotated[int, typer.Option(help="Rows to show.")] = 20) -> None:
    """Show the newest quarantined rows: where they came from, and why they could not be used."""
    from flows.store import open_store

    settings = load_settings()
    with open_store(settings.store, settings.file("labels.db")) as store:
        for row in store.quarantined(limit):
            console.print(f"{row.origin}:{row.position}: {row.reason}", highlight=False, markup=False)
        console.print(f"{store.count_quarantined()} in all.", highlight=False)


@application.command()
def ask(question: str, top: Annotated[int, typer.Option(help="Candidates to show.")] = 5) -> None:
    """Find candidates for a question among the labelled documents, and let the service rerank them."""
    from deployments.local.asking import ask_service, show

    console.print(show(ask_service(load_settings(), question), top))


def _start(settings: Settings) -> Settings:
    """Bring the stack up, enter its environment, and return the settings as they are in it."""
    from deployments.local.lost_runs import crash_lost_runs
    from deployments.local.registration import register_deployments
    from deployments.local.stack import Stack

    def tell(line: str) -> None:
        console.print(f"[dim]{line}[/]", highlight=False)

    stack = Stack(settings)
    stack.start(progress=tell)
    if lost := crash_lost_runs(settings.servers.work_pool, stack.environment()):
        tell(f"Flow runs whose process was gone, now marked as crashed: {lost}")
    register_deployments(settings, stack.environment(), progress=tell)
    return _enter(stack)


def _enter(stack: "Stack") -> Settings:
    os.environ.update(stack.environment())
    load_settings.cache_clear()
    return load_settings()


def _stop(settings: Settings) -> None:
    from deployments.local.interruption import Interruption
    from deployments.local.stack import Stack
    from flows.hosting import LocalProcessHost

    with Interruption():  # a second, impatient interrupt waits until both have ended
        try:
            ended = Stack(settings).stop()  # first, lest a roll-out starts the service again
        finally:
            LocalProcessHost(settings.host, settings.folder("host")).stop()
    console.print(f"Stopped ({ended} processes).", highlight=False)


def _show_addresses(settings: Settings) -> None:
    from deployments.local.addresses import addresses

    console.print(addresses(settings), highlight=False, markup=False, soft_wrap=True)


def _columns(assignments: list[str], fields: Collection[str]) -> dict[str, str]:
    pairs = [assignment.partition("=") for assignment in assignments]
    for assignment, (field, _, column) in zip(assignments, pairs, strict=True):
        if not field or not column:
            raise typer.BadParameter(f"--column takes FIELD=COLUMN, such as query=question; this is {assignment!r}")
        if field not in fields:
            raise typer.BadParameter(f"there is no field {field!r}; the fields are {', '.join(fields)}")
    return {field: column for field, _, column in pairs}


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _is_expected(failure: Exception) -> bool:
    """Whether one of our packages said it on purpose; anything else is a defect and keeps its traceback."""
    return type(failure).__module__.partition(".")[0] in {"flows", "deployments", "expectations"}


def _complain(what: str, failure: Exception) -> None:
    Console(stderr=True).print(f"{what}: {failure}", highlight=False, markup=False, style="red")
    sys.exit(1)


if __name__ == "__main__":
    main()
