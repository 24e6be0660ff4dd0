"""The engines that a model can be packaged for, and the files of each."""

from typing import get_args

from bento.model.manifest import EngineChoice, Library, Precision

FP32_ONNX = "model.onnx"
_FILES = {
    ("onnxruntime", "fp32"): FP32_ONNX,
    ("onnxruntime", "int8"): "model-int8.onnx",
    ("openvino", "fp32"): "model.xml",
    ("openvino", "int8"): "model-int8.xml",
}

ENGINES = {
    choice.name: choice
    for choice in (
        EngineChoice(library=library, precision=precision, file=_FILES[library, precision])
        for library in get_args(Library)
        for precision in get_args(Precision)
    )
}
"""By name, such as "openvino-int8"."""


def files_of(choice: EngineChoice) -> tuple[str, ...]:
    """Return the names of the files that the engine reads."""
    if choice.library == "openvino":
        return choice.file, choice.file.removesuffix(".xml") + ".bin"
    return (choice.file,)
