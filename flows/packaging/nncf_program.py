"""The program that `flows.packaging.quantising` runs: ONNX file and pairs in, an OpenVINO network of 8 bits out."""

import sys
from collections.abc import Iterator
from pathlib import Path

import nncf
import numpy as np
import openvino


def main(model: Path, samples: Path, output: Path) -> None:
    """Quantise with SmoothQuant, as transformers need it; activations are not symmetric, so the preset is mixed."""
    with np.load(samples) as file:
        fed = dict(file)
    count = len(fed["input_ids"])

    def one_by_one() -> Iterator[dict[str, object]]:
        for row in range(count):
            length = int(fed["attention_mask"][row].sum())  # padding would widen the ranges
            yield {name: values[row : row + 1, :length] for name, values in fed.items()}

    quantised = nncf.quantize(
        openvino.Core().read_model(model),
        nncf.Dataset(list(one_by_one())),
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=count,
    )
    openvino.save_model(quantised, output, compress_to_fp16=False)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
