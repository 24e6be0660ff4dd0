"""What finds documents: candidates for the application, hard negatives for training."""

from typing import Literal

from pydantic import Field, SecretStr

from flows.settings.section import Port, Section


class RetrievalSettings(Section):
    """What finds candidates before the reranker, and the incumbent where there is no champion."""

    kind: Literal["bm25", "bi-encoder"] = Field("bm25", description="The retriever of the RAG application.")
    bi_encoder: str = Field("carried:minilm", description="Sentence-transformers name, path or carried weights.")
    index: Literal["qdrant", "memory"] = Field(
        "qdrant", description="Where the bi-encoder's vectors lie; the order of the documents is the same."
    )
    qdrant_url: str | None = Field(
        None,
        pattern=r"^https?://[^@]+$",  # no name and password: messages show it
        description="Qdrant server, https://<host>; default: embedded, in the folder qdrant under home.",
    )
    qdrant_grpc_port: Port = Field(6334, description="Port of the server's gRPC interface.")
    qdrant_api_key: SecretStr | None = Field(None, description="Of the server; never logged.")
    qdrant_timeout_seconds: int = Field(30, ge=1, description="Longest wait for one answer of the server.")
    lock_seconds: float = Field(
        30, ge=0, description="Longest wait for the embedded Qdrant, which serves one process at a time."
    )
    collection: str = Field(
        "reranker", pattern=r"^[\w.-]+$", description="Beginning of the collections' names; model and corpus follow."
    )
    batch_size: int = Field(256, ge=1, le=10_000, description="Documents that are embedded and sent at a time.")
    exact: bool = Field(
        True,
        description="Compare with every vector, so that the same corpus always gives the same documents; false asks "
        "the server's HNSW graph, faster from some hundred thousand documents on.",
    )


class MiningSettings(Section):
    """Which documents, beyond the labelled ones, a challenger learns to rank below the relevant ones."""

    when: Literal["thin", "always", "never"] = Field(
        "thin",
        description="Top up queries that have fewer labelled negatives than `negatives` of the training, give every "
        "query as many as its list holds, or do without.",
    )
    bi_encoder: str = Field(
        "carried:minilm", description="Finds similar documents: sentence-transformers name, path or carried weights."
    )
    mined: int = Field(2, ge=0, description="Similar documents for each relevant one of a query.")
    random: int = Field(
        1, ge=0, description="Random documents for each relevant one, and more where too few are mined."
    )
    depth: int = Field(100, ge=1, description="Nearest documents of a query that are looked at.")
    margin: float | None = Field(
        0.05,
        ge=0,
        lt=1,
        description="A mined document's similarity is below that of the query's relevant ones by at least this "
        "share, for the nearest are often relevant and only not labelled; null takes the nearest whatever they are.",
    )
    against: Literal["best", "mean", "worst"] = Field(
        "mean", description="Which of the query's relevant documents the margin is counted from."
    )
    chunk: int = Field(512, ge=1, description="Queries that are searched at a time.")
    seed: int = Field(13, description="Of the random documents.")
