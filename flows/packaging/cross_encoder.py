"""A CrossEncoder folder is opened, and its network written as ONNX."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bento.model.batches import INPUTS
from flows.packaging.failures import ExportFailed

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


def load(folder: Path) -> "CrossEncoder":
    """Open a CrossEncoder of the BERT kind with one logit; ExportFailed when the folder holds none."""
    from sentence_transformers import CrossEncoder

    if not (folder / "config.json").is_file():
        raise ExportFailed(
            f"No CrossEncoder in {folder}: config.json is missing. Train a challenger, or fetch the model."
        )
    model: CrossEncoder = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    if model.num_labels != 1:
        raise ExportFailed(
            f"The model in {folder} has {model.num_labels} outputs: a reranker has one. Train it with one."
        )
    if getattr(model.tokenizer, "backend_tokenizer", None) is None or not _takes_token_types(model):
        raise ExportFailed(f"The model in {folder} is not of the BERT kind, which alone can be exported so far.")
    model.eval()
    return model


def _takes_token_types(model: "CrossEncoder") -> bool:
    return set(INPUTS) <= set(model.tokenizer("query", "document"))


def max_length(model: "CrossEncoder", folder: Path) -> int:
    """Return how many tokens it reads; ExportFailed when nothing says so."""
    length = model.max_seq_length
    if length is None or length > _network(model).config.max_position_embeddings:
        raise ExportFailed(
            f"The tokenizer in {folder} sets no usable limit of tokens ({length}): "
            "save the CrossEncoder with max_length set."
        )
    return int(length)


def _network(model: "CrossEncoder") -> Any:
    """Return the transformers model inside."""
    return model.model


def write_onnx(model: "CrossEncoder", path: Path) -> None:
    """Write the network to `path`, for any number of pairs of any length that it can take."""
    import torch

    class Logits(torch.nn.Module):
        """The network with its inputs in a fixed order, and its logits alone."""

        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = network

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            fed = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
            return self.network(**fed).logits

    network = _network(model)
    example = model.tokenizer(["a query", "another"], ["a document", "b"], padding=True, return_tensors="pt")
    size = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=network.config.max_position_embeddings)}
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own insides; the comparison of scores is the judge
        torch.onnx.export(
            Logits(network).eval(),
            tuple(example[name] for name in INPUTS),
            str(path),
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_shapes=(size, size, size),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
