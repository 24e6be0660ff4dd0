"""A packaged model in either library: its scores, its digest, and what it refuses."""

import logging
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bento.model.engine import UnusableModelError
from bento.model.manifest import EngineChoice, Manifest
from bento.model.model import Model, open_engine
from flows.packaging.quantising import convert_openvino, quantise_onnx
from tests.bento.tiny_model import WORDS, trained

texts = st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)
PAIRS = [("how do i sort", "a list in python " * n) for n in range(20)]


def test_logits_are_the_trained_models(model: Model) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    trained_model = CrossEncoder(str(trained()), device="cpu")
    expected = trained_model.predict(PAIRS, activation_fn=torch.nn.Identity())
    np.testing.assert_allclose(model.engine.run(model.encode(PAIRS)), expected, atol=1e-4)


def test_a_logit_depends_on_its_pair_alone(model: Model) -> None:
    @settings(max_examples=30, deadline=None)
    @given(pairs=st.lists(st.tuples(texts, texts), max_size=11))
    def check(pairs: list[tuple[str, str]]) -> None:
        encoded = model.encode(pairs)
        together = model.engine.run(encoded)
        assert together.shape == (len(pairs),)
        np.testing.assert_allclose(together, [model.engine.run([pair])[0] for pair in encoded], atol=1e-4)

    check()


def test_more_threads_than_streams_get_the_right_logits(model: Model) -> None:
    encoded = model.encode(PAIRS)
    expected = model.engine.run(encoded)
    parts = [[position, (position * 7) % len(PAIRS)] for position in range(len(PAIRS))] * 10
    with ThreadPoolExecutor(4) as threads:
        for part, found in zip(
            parts, threads.map(lambda part: model.engine.run([encoded[i] for i in part]), parts), strict=True
        ):
            np.testing.assert_allclose(found, expected[part], atol=1e-4)


def test_quantised_dynamically_a_logit_still_depends_on_its_pair_alone(onnx_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(onnx_folder, tmp_path / "model")
    quantise_onnx(onnx_folder / "model.onnx", folder / "model-int8.onnx")
    choice = EngineChoice(library="onnxruntime", precision="int8", file="model-int8.onnx")
    engine = open_engine(folder, choice, threads=1)
    encoded = Model.open(onnx_folder, threads=1).encode(PAIRS)
    alone = [engine.run([pair])[0] for pair in encoded]
    np.testing.assert_array_equal(engine.run(encoded), alone)


def test_a_changed_file_is_told(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert Model.open(folder, threads=1).digest_matches
    changed = shutil.copytree(folder, tmp_path / "model")
    tokenizer = (changed / "tokenizer.json").read_text("utf-8")
    (changed / "tokenizer.json").write_text(tokenizer + "\n", "utf-8")
    with caplog.at_level(logging.ERROR):
        assert not Model.open(changed, threads=1).digest_matches
    assert "tokenizer.json differ from reranker.json" in caplog.text


def broken(onnx_folder: Path, folder: Path, model: onnx.ModelProto, library: str) -> Path:
    """Return a folder like the one of either library, with `model` as its network."""
    source = folder.with_suffix(".onnx")
    onnx.save(model, source)
    shutil.copytree(onnx_folder, folder)
    if library == "openvino":
        convert_openvino(source, folder / "model.xml")
    else:
        shutil.copy(source, folder / "model.onnx")
    return folder


def test_a_model_whose_scores_are_no_numbers_is_refused(folder: Path, onnx_folder: Path, tmp_path: Path) -> None:
    network = onnx.load(onnx_folder / "model.onnx")
    for weights in network.graph.initializer:
        if weights.data_type == onnx.TensorProto.FLOAT:
            nothing = np.full(tuple(weights.dims), np.nan, dtype=np.float32)
            weights.CopyFrom(onnx.numpy_helper.from_array(nothing, weights.name))
    library = Manifest.read(folder).engine.library
    with pytest.raises(UnusableModelError, match="reranker:1 gives scores that are no numbers"):
        Model.open(broken(folder, tmp_path / "model", network, library), threads=1)


def test_a_model_without_token_types_is_refused(folder: Path, onnx_folder: Path, tmp_path: Path) -> None:
    network = onnx.load(onnx_folder / "model.onnx")
    (types,) = [value for value in network.graph.input if value.name == "token_type_ids"]
    network.graph.input.remove(types)
    zeros = onnx.numpy_helper.from_array(np.zeros((1, 1), dtype=np.int64), "token_type_ids")
    network.graph.initializer.append(zeros)
    library = Manifest.read(folder).engine.library
    with pytest.raises(UnusableModelError, match="export it again"):
        Model.open(broken(folder, tmp_path / "model", network, library), threads=1)


def test_a_missing_or_broken_network_is_refused(folder: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(folder, tmp_path / "model")
    file = changed / Manifest.read(folder).engine.file
    file.write_bytes(b"no model")
    with pytest.raises(UnusableModelError, match=f"cannot load {file.name}"):
        Model.open(changed, threads=1)
    file.unlink()
    with pytest.raises(UnusableModelError, match=f"has no {file.name}"):
        Model.open(changed, threads=1)


def test_only_the_chosen_library_is_imported(folder: Path) -> None:
    library = Manifest.read(folder).engine.library
    (other,) = {"openvino", "onnxruntime"} - {library}
    program = (
        "import sys; from pathlib import Path; from bento.model.model import Model; "
        f"Model.open(Path({str(folder)!r}), threads=1); assert {library!r} in sys.modules; "
        f"sys.exit({other!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
