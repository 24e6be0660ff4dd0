"""A shallower copy of a trained CrossEncoder: some of its encoder's layers, and everything else."""

import re
from copy import deepcopy
from typing import TYPE_CHECKING

from flows.training.failures import StudentError

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder
    from torch import Tensor
    from transformers import PreTrainedModel

_STACKS = ("encoder.layer", "transformer.layer", "encoder.layers", "layers")
"""Where encoders keep their layers below the base model: BERT and most that came after it, DistilBERT, BART-like
encoders, ModernBERT."""


def make_student(teacher: "CrossEncoder", layers: int) -> "CrossEncoder":
    """Return a CrossEncoder with `layers` of the teacher's layers (see `kept_layers`) and the rest of its weights.

    It is of the same architecture, so that it saves and loads as any CrossEncoder does; the teacher stays as it is.
    Raises StudentError for an architecture whose layers are not known, or a depth that is none.
    """
    if teacher.model is None:
        raise StudentError("No student can be made of this model: it is no transformer of transformers' kind.")
    shallow = shallower(teacher.model, layers)
    student = deepcopy(teacher)
    student[0].model = shallow
    return student


def shallower(model: "PreTrainedModel", layers: int) -> "PreTrainedModel":
    """Return a model of the same class with `layers` of this one's layers and copies of its other weights."""
    stack, depth = _stack(model)
    if not 1 <= layers < depth:
        raise StudentError(
            f"A student of {layers} layers cannot be made of a teacher of {depth}: choose 1 to {depth - 1} "
            "(RERANKER_STUDENT__LAYERS)."
        )
    from torch.nn import Module

    kept = kept_layers(depth, layers)
    config = deepcopy(model.config)
    config.num_hidden_layers = layers  # transformers maps it to the architecture's own name, such as n_layers
    if getattr(config, "layer_types", None):  # ModernBERT: which layers attend to all of the text
        config.layer_types = [model.config.layer_types[layer] for layer in kept]
    student: PreTrainedModel = type(model)(config)
    Module.to(student, model.dtype)
    student.load_state_dict(_renumbered(model.state_dict(), stack, kept))
    student.train(model.training)
    return student


def kept_layers(depth: int, layers: int) -> tuple[int, ...]:
    """Return which of `depth` layers, from 0 on, a student of `layers` keeps: the first, the last, evenly between.

    The even spread is DistilBERT's (Sanh et al. 2019, arXiv:1910.01108); the first layer takes the embeddings as it
    knows them, and the last speaks to the head as the head knows it.
    """
    if layers == 1:
        return (0,)
    return tuple(round(place * (depth - 1) / (layers - 1)) for place in range(layers))


def _stack(model: "PreTrainedModel") -> tuple[str, int]:
    """Return the path of the list of layers in `model`, and how many there are."""
    depth = getattr(model.config, "num_hidden_layers", None)
    lists = {name: module for name, module in model.named_modules() if type(module).__name__ == "ModuleList"}
    below = model.base_model_prefix
    for name in (f"{below}.{stack}" for stack in _STACKS):
        if name in lists and len(lists[name]) == depth:
            return name, depth
    raise StudentError(
        f"No student can be made of a {model.config.model_type} model: its layers are not where BERT-like encoders "
        f"keep theirs ({', '.join(_STACKS)}, as many as num_hidden_layers says). Set RERANKER_STUDENT__LAYERS=[] or "
        "train from another base model."
    )


def _renumbered(weights: dict[str, "Tensor"], stack: str, kept: tuple[int, ...]) -> dict[str, "Tensor"]:
    """Return the weights without the layers of `stack` that are not kept, those that are numbered from 0."""
    places = {layer: place for place, layer in enumerate(kept)}
    numbered = re.compile(rf"({re.escape(stack)}\.)(\d+)(\..*)")
    renumbered = {}
    for name, value in weights.items():
        match = numbered.fullmatch(name)
        if match is None:
            renumbered[name] = value
        elif int(match[2]) in places:
            renumbered[f"{match[1]}{places[int(match[2])]}{match[3]}"] = value
    return renumbered
