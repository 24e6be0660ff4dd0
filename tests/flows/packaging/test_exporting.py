"""A CrossEncoder is exported whole and verified, or not at all."""

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from flows.packaging import ExportDiffers, ExportedModel, ExportFailed, export
from flows.settings import PackagingSettings
from tests.bento.tiny_model import MAX_LENGTH, SETTINGS, exported, save_trained, trained, version


def test_what_is_exported_serves_as_the_trained_model_scores() -> None:
    from sentence_transformers import CrossEncoder

    model = exported()
    files = {"model.onnx", "tokenizer.json"}
    assert {path.name for path in model.folder.iterdir()} == files | {"reranker.json", "checks.json"}
    assert set(model.manifest.files) == files
    assert (model.manifest.max_length, model.manifest.version) == (MAX_LENGTH, 1)
    pairs = [(check.query, check.document) for check in model.checks]
    served = [check.score for check in model.checks]
    np.testing.assert_allclose(served, CrossEncoder(str(trained()), device="cpu").predict(pairs), atol=1e-4)
    assert np.ptp(served) > 0.2, "checks that all score alike would pass anything"


def test_token_types_reach_the_network() -> None:
    session = onnxruntime.InferenceSession(exported().folder / "model.onnx")
    ids = np.array([[2, 5, 6, 3, 7, 8, 3]], dtype=np.int64)
    types = np.array([[0, 0, 0, 0, 1, 1, 1]], dtype=np.int64)
    fed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    (with_types,) = session.run(None, {**fed, "token_type_ids": types})
    (without,) = session.run(None, {**fed, "token_type_ids": np.zeros_like(types)})
    assert abs(with_types - without).item() > 1e-3


def test_an_export_that_scores_otherwise_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    """No export is exact to the last digit, so a limit below rounding refuses every one."""
    with pytest.raises(ExportDiffers, match=r"RERANKER_PACKAGING__MAX_SCORE_DIFFERENCE.*not packaged"):
        export(
            trained(), tmp_path / "export", version(1), SETTINGS.model_copy(update={"max_score_difference": 1e-30})
        )
    assert list(tmp_path.iterdir()) == []


def test_a_finished_export_is_taken_up_and_another_versions_is_not(tmp_path: Path) -> None:
    folder = shutil.copytree(exported().folder, tmp_path / "export")
    steps: list[str] = []
    nowhere = tmp_path / "no model is read"
    again = export(nowhere, folder, version(1), SETTINGS, progress=steps.append)
    assert again == exported().model_copy(update={"folder": folder})
    assert steps == ["reranker v1 is exported already"]
    with pytest.raises(ExportFailed, match=r"config\.json is missing"):
        export(nowhere, folder, version(2), SETTINGS)
    with pytest.raises(ExportFailed, match=r"config\.json is missing"):
        export(nowhere, folder, version(1), PackagingSettings(engines=("openvino-fp32",)))
    assert ExportedModel.open(folder).manifest.version == 1


def test_a_classifier_of_three_is_no_reranker(tmp_path: Path) -> None:
    save_trained(tmp_path / "model", outputs=3)
    with pytest.raises(ExportFailed, match="has 3 outputs"):
        export(tmp_path / "model", tmp_path / "export", version(1), SETTINGS)
