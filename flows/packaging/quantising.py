"""An fp32 ONNX network in other forms: OpenVINO's, and both libraries' with 8-bit integers."""

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bento.model.batches import to_arrays
from bento.model.encoded import EncodedPair
from flows.packaging.failures import QuantisationFailed


def quantise_onnx(model: Path, output: Path) -> None:
    """Quantise an ONNX file to another: 8-bit weights, a scale for each channel, ranges found at run time."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    network = onnx.load(model)
    del network.graph.value_info[:]  # what the exporter left there contradicts the shapes that are inferred
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises a step that gains nothing here
    try:
        quantize_dynamic(network, output, weight_type=QuantType.QInt8, per_channel=True)
    finally:
        root.setLevel(level)


def convert_openvino(model: Path, output: Path) -> None:
    """Write the ONNX file `model` as OpenVINO's `output`, an .xml beside which its .bin is written; in fp32."""
    import openvino

    openvino.save_model(openvino.Core().read_model(model), output, compress_to_fp16=False)


def quantise_openvino(model: Path, output: Path, pairs: Sequence[EncodedPair]) -> None:
    """Quantise the ONNX file `model` to OpenVINO's `output`, an .xml, on the ranges that `pairs` make it use.

    NNCF runs in a process of its own: it takes a gigabyte, prints bars, and would tell its maker that it is used.

    Raises:
        QuantisationFailed: NNCF could not; the message holds its last words.
    """
    with tempfile.TemporaryDirectory(prefix="calibration-") as folder:
        samples = Path(folder) / "pairs.npz"
        np.savez(samples, allow_pickle=False, **to_arrays(pairs, max(map(len, pairs))))
        program = Path(__file__).with_name("nncf_program.py")
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, str(program), str(model), str(samples), str(output)],
            env=os.environ | {"NNCF_CI": "1", "CI": "true"},  # both turn its telemetry off
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        last_words = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise QuantisationFailed(f"NNCF could not quantise it:\n{last_words}")
