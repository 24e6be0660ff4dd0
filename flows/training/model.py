"""CrossEncoders on disk: open and save."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from sentence_transformers import CrossEncoder
from transformers.utils import logging as transformers_logging

from flows.contracts.model import weights_digest
from flows.training.failures import UnreadableModelError
from flows.weights import WeightsError, resolve_weights
from flows.weights.precision import best_device


def open_model(start_from: str | Path, max_length: int | None = None) -> CrossEncoder:
    """Return the CrossEncoder with one logit that `start_from` names, with a new head where it has none.

    Weights on this machine are read without asking a hub. Raises UnreadableModelError.
    """
    try:
        weights = resolve_weights(start_from)
        with _quiet():
            model: CrossEncoder = CrossEncoder(
                weights.address,
                num_labels=1,
                max_length=max_length,
                local_files_only=weights.local,
                device=best_device(),
            )
    except (WeightsError, OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UnreadableModelError(
            f"No CrossEncoder can be made from {start_from}: {error} "
            "Name a folder or a hub model with weights as safetensors and a tokenizer."
        ) from error
    positions = getattr(model.config, "max_position_embeddings", None)
    if max_length and positions and max_length > positions:
        raise UnreadableModelError(
            f"{start_from} takes {positions} tokens at most, not {max_length}: lower RERANKER_TRAINING__MAX_LENGTH."
        )
    return model


def save_model(model: CrossEncoder, folder: Path) -> str:
    """Write weights (safetensors), tokenizer and configuration to `folder`, replacing it whole; return the digest."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = getattr(model.tokenizer, "backend_tokenizer", None)
    if tokenizer is not None:  # it would write how it was last used into its file, and the digest would tell
        tokenizer.no_truncation()
        tokenizer.no_padding()
    with _quiet():
        model.save_pretrained(str(partial), create_model_card=False, safe_serialization=True)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
    return weights_digest(folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from saying that a new head is new, and from drawing bars over milliseconds."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
