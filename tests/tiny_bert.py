"""BERTs with random weights and a vocabulary of a few words, made in milliseconds."""

from collections.abc import Sequence
from pathlib import Path

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def save_bert(
    folder: Path,
    words: Sequence[str],
    seed: int,
    *,
    layers: int = 2,
    width: int = 32,
    outputs: int | None = 1,
    spread: float = 0.02,
    max_length: int = 64,
) -> Path:
    """Save model and tokenizer as transformers does, and return the folder.

    Args:
        folder: Made where it is missing.
        words: Each a token of its own; others are unknown, or fall to pieces that are among them.
        seed: Of the weights.
        layers: How deep.
        width: Of the hidden states.
        outputs: Of the classification head; without a number, there is no head.
        spread: Standard deviation of the weights; large ones give scores that differ.
        max_length: Tokens that the tokenizer lets through.
    """
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = list(dict.fromkeys([*SPECIAL, *words]))
    (folder / "vocab.txt").write_text("\n".join(vocabulary), "utf-8")
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=max_length).save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=64,
        num_labels=outputs or 1,
        initializer_range=spread,
    )
    (BertForSequenceClassification if outputs else BertModel)(config).save_pretrained(folder)
    return folder


def save_cross_encoder(folder: Path, raw: Path, max_length: int | None = None) -> Path:
    """Save the BERT in `raw` as sentence-transformers saves a CrossEncoder, and return the folder."""
    from sentence_transformers import CrossEncoder

    CrossEncoder(str(raw), max_length=max_length, local_files_only=True, device="cpu").save_pretrained(str(folder))
    return folder
