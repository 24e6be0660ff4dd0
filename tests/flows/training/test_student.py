"""Shallower copies: the same architecture, fewer layers, and weights that are the teacher's."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flows.training import CrossEncoderScorer, StudentError
from flows.training.model import open_model, save_model
from flows.training.student import kept_layers, make_student, shallower

TINY = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 5,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "num_labels": 1,
    "pad_token_id": 0,
}
ENCODERS = ["bert", "roberta", "xlm-roberta", "electra", "mpnet", "deberta-v2", "modernbert", "distilbert"]


def make(kind: str) -> Any:
    from transformers import AutoConfig, AutoModelForSequenceClassification, set_seed

    set_seed(3)
    sizes = dict(TINY)
    if kind == "distilbert":
        sizes |= {"hidden_dim": sizes.pop("intermediate_size")}
    if kind == "deberta-v2":  # as its published models have it
        sizes |= {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
    return AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind, **sizes)).eval()


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_student_is_its_teacher_with_the_other_layers_skipped(kind: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    teacher = make(kind)
    student = shallower(teacher, 3)
    student.save_pretrained(tmp_path)
    reloaded, unread = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)

    assert reloaded.config.num_hidden_layers == 3
    assert not unread["missing_keys"]
    assert not unread["unexpected_keys"]
    layers = next(m for m in teacher.modules() if type(m).__name__ == "ModuleList" and len(m) == 5)
    del layers[3], layers[1]  # 0, 2 and 4 stay
    tokens = torch.tensor([[2, 7, 9, 3, 11, 3]])
    with torch.no_grad():
        expected = teacher(input_ids=tokens).logits
        torch.testing.assert_close(student(input_ids=tokens).logits, expected)
        torch.testing.assert_close(reloaded(input_ids=tokens).logits, expected)


def test_modernberts_layers_keep_their_kind_of_attention() -> None:
    teacher = make("modernbert")
    kinds = teacher.config.layer_types
    assert shallower(teacher, 3).config.layer_types == [kinds[0], kinds[2], kinds[4]]
    assert len(teacher.config.layer_types) == 5


def test_an_architecture_with_other_layers_is_refused_by_name() -> None:
    from transformers import AlbertConfig, AlbertForSequenceClassification

    albert = AlbertForSequenceClassification(AlbertConfig(**TINY, embedding_size=8))
    with pytest.raises(StudentError, match="albert model"):
        shallower(albert, 3)


@pytest.mark.parametrize("layers", [0, 5, 6])
def test_a_depth_that_is_none_is_refused(layers: int) -> None:
    with pytest.raises(StudentError, match="choose 1 to 4"):
        shallower(make("bert"), layers)


@pytest.mark.parametrize(
    ("depth", "layers", "kept"),
    [(6, 3, (0, 2, 5)), (6, 2, (0, 5)), (6, 1, (0,)), (6, 4, (0, 2, 3, 5)), (12, 6, (0, 2, 4, 7, 9, 11))],
)
def test_the_first_the_last_and_an_even_spread_stay(depth: int, layers: int, kept: tuple[int, ...]) -> None:
    assert kept_layers(depth, layers) == kept


def test_every_depth_keeps_distinct_layers_in_order() -> None:
    for depth in range(2, 49):
        for layers in range(1, depth):
            kept = kept_layers(depth, layers)
            assert len(kept) == layers
            assert list(kept) == sorted(set(kept))
            assert set(kept) <= set(range(depth))


def test_a_student_saves_and_loads_as_a_plain_cross_encoder(base_model: Path, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    teacher = open_model(base_model, 32)
    student = make_student(teacher, 1)
    save_model(student, tmp_path / "student")

    assert teacher.model.config.num_hidden_layers == 2
    assert list((tmp_path / "student").glob("*.safetensors"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = CrossEncoder(str(tmp_path / "student"), local_files_only=True, device="cpu")
    assert loaded.model.config.num_hidden_layers == 1
    assert loaded.max_length == 32
    pairs = (["where is the red apple"] * 2, ["the red apple is here", "the red stone is a"])
    kept, read = (CrossEncoderScorer(model, bf16=False).score(*pairs) for model in (student, loaded))
    np.testing.assert_allclose(read, kept, rtol=1e-5)
    assert not np.allclose(kept, CrossEncoderScorer(teacher, bf16=False).score(*pairs))
