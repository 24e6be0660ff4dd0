"""Ask the running service a question, with the candidates that the retriever finds."""

from contextlib import closing
from dataclasses import dataclass

import httpx
import pyarrow.compute as pc
from rich.table import Table

from flows.retrieval import open_retriever
from flows.settings import Settings
from flows.store import open_store


class ServiceAway(Exception):
    """The service does not answer, or not as it should."""


@dataclass(frozen=True)
class Answer:
    """Candidates as the retriever ordered them, and the service's order of the same ones."""

    question: str
    retrieved: list[str]
    reranked: list[tuple[int, float]]
    """(position in `retrieved`, relevance score), best first."""
    model: str


def ask_service(settings: Settings, question: str, candidates: int = 12) -> Answer:
    """Find candidates for `question` among the stored documents and rerank them over HTTP.

    Raises:
        ServiceAway: nothing answers at the service's port, or it refuses.
    """
    with open_store(settings.store, settings.file("labels.db")) as store:
        documents = sorted({text for batch in store.scan() for text in pc.unique(batch["document"]).to_pylist()})
    with closing(open_retriever(settings.retrieval, settings.folder("qdrant"))) as retriever:
        retriever.index(documents)
        positions, _ = retriever.search([question], candidates)
    retrieved = [documents[position] for position in positions[0]]
    url = f"{settings.service_url}/v1/rerank"
    try:
        response = httpx.post(url, json={"query": question, "documents": retrieved}, timeout=30)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise ServiceAway(
            f"{url} did not answer: {error}. Roll a champion out first: prefect deployment run lifecycle/local"
        ) from error
    body = response.json()
    order = [(result["index"], result["relevance_score"]) for result in body["results"]]
    return Answer(question, retrieved, order, body["model"])


def show(answer: Answer, top: int) -> Table:
    """Return the first `top` of both orders, side by side."""
    table = Table(title=f"“{answer.question}”", title_justify="left", show_lines=True, expand=True)
    table.add_column("retrieved (before)", ratio=1, overflow="ellipsis")
    table.add_column(f"reranked by {answer.model} (after)", ratio=1, overflow="ellipsis")
    for rank, (position, score) in enumerate(answer.reranked[:top]):
        before = _short(answer.retrieved[rank])
        moved = f"[dim]was {position + 1}, score {score:.3f}[/]\n"
        table.add_row(f"[dim]{rank + 1}[/]\n{before}", moved + _short(answer.retrieved[position]))
    return table


def _short(text: str, characters: int = 160) -> str:
    line = " ".join(text.split()).replace("[", r"\[")
    return line if len(line) <= characters else line[: characters - 1] + "…"
