"""Where weights are looked for."""

from pathlib import Path

import pytest

from flows.weights import WeightsError, resolve_weights


def test_carried_weights_lie_in_an_installed_package() -> None:
    found = resolve_weights("carried:minilm")
    assert found.local
    assert (Path(found.address) / "model.safetensors").is_file()


def test_a_folder_is_local_and_a_name_is_the_hub_s(tmp_path: Path) -> None:
    assert resolve_weights(tmp_path).local
    assert resolve_weights(str(tmp_path)).local
    assert not resolve_weights("cross-encoder/ms-marco-MiniLM-L-6-v2").local


@pytest.mark.parametrize("name", ["carried:other", "/no/such/folder", "./no-such-folder", Path("no-such-folder")])
def test_what_is_not_there_is_named(name: str | Path) -> None:
    with pytest.raises(WeightsError, match=str(name).removeprefix("carried:").removeprefix("./")):
        resolve_weights(name)
