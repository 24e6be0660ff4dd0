"""The engine alone: its scores, and the models it will not serve."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bento.engine import MODEL_FILE, OnnxEngine, UnusableModelError
from tests.bento.tiny_model import WORDS

texts = st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)


@settings(max_examples=40, deadline=None)
@given(pairs=st.lists(st.tuples(texts, texts), max_size=11))
def test_a_score_depends_on_its_pair_alone(engine: OnnxEngine, pairs: list[tuple[str, str]]) -> None:
    together = engine.score(pairs)
    assert together.shape == (len(pairs),)
    alone = [engine.score([pair])[0] for pair in pairs]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def changed(model_folder: Path, folder: Path) -> tuple[Path, onnx.ModelProto]:
    shutil.copytree(model_folder, folder)
    return folder, onnx.load(folder / MODEL_FILE)


def test_a_model_whose_scores_are_no_numbers_is_refused(model_folder: Path, tmp_path: Path) -> None:
    folder, model = changed(model_folder, tmp_path / "model")
    for weights in model.graph.initializer:
        if weights.data_type == onnx.TensorProto.FLOAT:
            nothing = np.full(tuple(weights.dims), np.nan, dtype=np.float32)
            weights.CopyFrom(onnx.numpy_helper.from_array(nothing, weights.name))
    onnx.save(model, folder / MODEL_FILE)
    with pytest.raises(UnusableModelError, match="reranker:1 gives scores that are no numbers"):
        OnnxEngine(folder, threads=1)


def test_a_model_without_token_types_is_refused(model_folder: Path, tmp_path: Path) -> None:
    folder, model = changed(model_folder, tmp_path / "model")
    (types,) = [value for value in model.graph.input if value.name == "token_type_ids"]
    model.graph.input.remove(types)
    zeros = onnx.numpy_helper.from_array(np.zeros((1, 1), dtype=np.int64), "token_type_ids")
    model.graph.initializer.append(zeros)
    onnx.save(model, folder / MODEL_FILE)
    with pytest.raises(UnusableModelError, match="export it again"):
        OnnxEngine(folder, threads=1)
