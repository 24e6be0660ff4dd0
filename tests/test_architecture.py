"""The rules of the house that a machine can hold: imports, names, and what the README says."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FLOWS = sorted((ROOT / "flows").glob("*.py"))
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))["deployments"]


def test_imports_point_one_way() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", [path for path in FLOWS if path.stem != "__init__"], ids=lambda path: path.stem)
def test_every_module_in_flows_is_a_flow_with_a_deployment(path: Path) -> None:
    functions = [node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)]
    flows = [f.name for f in functions if any("flow(" in ast.unparse(d) for d in f.decorator_list)]
    assert flows == [path.stem]
    entrypoints = {deployment["entrypoint"]: deployment for deployment in DEPLOYMENTS}
    deployment = entrypoints[f"flows/{path.name}:{path.stem}"]
    assert deployment["name"] == "local"
    assert deployment["work_pool"] == {"name": "local"}
    assert deployment["description"]
    assert deployment["tags"]


def test_what_moves_the_champion_or_the_traffic_has_one_turn() -> None:
    for name in ("promote", "revert", "roll_out"):
        assert "with turn(" in (ROOT / "flows" / f"{name}.py").read_text("utf-8")
    limited = {d["entrypoint"] for d in DEPLOYMENTS if d.get("concurrency_limit", {}).get("limit") == 1}
    assert {"flows/lifecycle.py:lifecycle", "flows/revert.py:revert", "flows/roll_out.py:roll_out"} <= limited
    assert "flows/promote.py:promote" not in limited  # it may pause, and would lose its slot and its life


def test_the_bento_imports_nothing_heavy() -> None:
    heavy = "('torch', 'transformers', 'mlflow', 'prefect', 'pandas', 'flows')"
    code = f"import sys, bento.service; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_commands_of_the_readme_exist() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b", readme)) - {"it"} <= targets
    flows = {Path(d["entrypoint"].partition(":")[0]).stem.replace("_", "-") for d in DEPLOYMENTS}
    assert set(re.findall(r"deployment run ([\w-]+)/local", readme)) <= flows
    printed = subprocess.run(
        [sys.executable, "-m", "deployments.command_line", "--help"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    for command in set(re.findall(r"\.venv/bin/reranker ([a-z]+)", readme)):
        assert f" {command} " in printed, command


def test_every_setting_is_described() -> None:
    from flows.settings import Section, Settings

    for section in [Settings, *Section.__subclasses__()]:
        for name, field in section.model_fields.items():
            is_section = isinstance(field.annotation, type) and issubclass(field.annotation, Section)
            assert field.description or is_section, f"{section.__name__}.{name}"
