"""Bentos in a store: labelled, pinned to their model, and built once."""

import shutil
from pathlib import Path

import pytest
import yaml

from flows.packaging import BuildFailed, PackagedBento, build_bento
from flows.packaging.building import SOURCES
from flows.settings import PackagingSettings
from tests.bento.tiny_model import exported, exported_as, version

SETTINGS = PackagingSettings()


def manifest(bento: PackagedBento) -> dict[str, object]:
    return yaml.safe_load((bento.path / "bento.yaml").read_text("utf-8"))


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> PackagedBento:
    return build_bento(exported(), version(1), SETTINGS, tmp_path_factory.mktemp("store"))


def test_bento_and_model_are_labelled(bento: PackagedBento) -> None:
    name, _, tag = bento.model_tag.partition(":")
    model = yaml.safe_load((bento.store / "models" / name / tag / "model.yaml").read_text("utf-8"))
    for labels in (manifest(bento)["labels"], model["labels"]):
        assert labels["model_version"] == "1"
        assert labels["snapshot"] == version(1).snapshot
        assert labels["digest"] == bento.digest
        assert labels["engine"] == bento.engine == "onnxruntime-fp32"
    assert model["metadata"]["measurements"][0]["verdict"] == "chosen"


def test_the_bento_is_pinned_to_its_model_and_holds_the_service_alone(bento: PackagedBento) -> None:
    (model,) = manifest(bento)["models"]
    assert (model["tag"], model["alias"]) == (bento.model_tag, "reranker")
    sources = {path.relative_to(bento.path / "src").parts[0] for path in (bento.path / "src").rglob("*.*")}
    assert sources == {"bento", "bentofile.yaml"}
    assert (bento.path / "src" / "bento" / "model" / "model.py").is_file()
    requirements = (bento.path / "env" / "python" / "requirements.txt").read_text("utf-8")
    assert "onnxruntime==" in requirements
    assert not {"torch", "mlflow", "prefect"} & {line.split("==")[0] for line in requirements.splitlines()}


def test_the_same_model_is_built_once(bento: PackagedBento) -> None:
    created = (bento.path / "bento.yaml").stat().st_mtime_ns
    assert build_bento(exported(), version(1), SETTINGS, bento.store) == bento
    assert (bento.path / "bento.yaml").stat().st_mtime_ns == created


def test_another_model_and_another_service_make_another_bento(bento: PackagedBento, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(SOURCES / "bento", sources / "bento")
    shutil.copy(SOURCES / "bentofile.yaml", sources)
    with (sources / "bento" / "model" / "model.py").open("a") as part:
        part.write("# changed\n")
    newer = build_bento(exported(), version(1), SETTINGS, bento.store, sources)
    assert (newer.model_tag, newer.tag == bento.tag) == (bento.model_tag, False)
    other = build_bento(exported_as(2, tmp_path / "two"), version(2), SETTINGS, bento.store)
    assert other.tag not in {newer.tag, bento.tag}
    assert manifest(bento)["models"][0]["tag"] == bento.model_tag != other.model_tag


def test_what_bentoml_refuses_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    (sources / "bento").mkdir(parents=True)
    (sources / "bentofile.yaml").write_text(
        (SOURCES / "bentofile.yaml").read_text("utf-8").replace("bento.service", "bento.missing")
    )
    (sources / "bento" / "requirements.txt").touch()
    with pytest.raises(BuildFailed, match=r"bento\.missing"):
        build_bento(exported(), version(1), SETTINGS, tmp_path / "store", sources)
    assert not list((tmp_path / "store" / "bentos").glob("*/*"))
