"""The tiny model in both libraries, and its tokenizer as transformers has it."""

import shutil
from pathlib import Path

import pytest

from bento.model.manifest import EngineChoice, Manifest, file_digest
from bento.model.model import Model
from flows.packaging.quantising import convert_openvino
from tests.bento.tiny_model import exported


@pytest.fixture(scope="session")
def onnx_folder() -> Path:
    return exported().folder


@pytest.fixture(scope="session")
def openvino_folder(tmp_path_factory: pytest.TempPathFactory, onnx_folder: Path) -> Path:
    folder = shutil.copytree(onnx_folder, tmp_path_factory.mktemp("openvino") / "model")
    convert_openvino(folder / "model.onnx", folder / "model.xml")
    (folder / "model.onnx").unlink()
    files = {name: file_digest(folder / name) for name in ("model.xml", "model.bin", "tokenizer.json")}
    choice = EngineChoice(library="openvino", precision="fp32", file="model.xml")
    Manifest.read(folder).model_copy(update={"engine": choice, "files": files}).write(folder)
    return folder


@pytest.fixture(scope="session", params=["onnxruntime", "openvino"])
def folder(request: pytest.FixtureRequest, onnx_folder: Path, openvino_folder: Path) -> Path:
    return onnx_folder if request.param == "onnxruntime" else openvino_folder


@pytest.fixture(scope="session")
def model(folder: Path) -> Model:
    return Model.open(folder, threads=2)
