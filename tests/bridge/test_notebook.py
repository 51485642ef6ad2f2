"""The notebook: committed without outputs, and run from top to bottom."""

from __future__ import annotations

import ast
import json
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

PATH = ROOT / "bridge" / "segmentation.ipynb"
CELLS: list[dict[str, Any]] = json.loads(PATH.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def test_the_notebook_is_committed_without_outputs() -> None:
    for cell in CELLS:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
    assert PATH.stat().st_size < 50_000


def test_the_notebook_uses_the_bridge_alone() -> None:
    imported = set()
    for node in ast.walk(ast.parse("\n".join(CODE))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    assert imported == {"os", "sys", "pathlib", "bridge.loader"}


def test_the_files_that_the_notebook_names_are_there() -> None:
    configs = {
        node.value
        for node in ast.walk(ast.parse("\n".join(CODE)))
        if isinstance(node, ast.Constant) and str(node.value).startswith("configs/")
    }
    assert len(configs) >= 8
    assert [name for name in configs if not (ROOT / name).is_file()] == []


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, float]:
    """A clone's folder, the notebook as it is after its run in ``bridge/``, and the processor's seconds."""
    import nbclient
    import nbformat

    root = tmp_path_factory.mktemp("clone")
    for name in ("mmseg", "configs"):
        (root / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "bridge", root / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    notebook = nbformat.read(PATH, as_version=4)
    resources = {"metadata": {"path": str(root / "bridge")}}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    nbclient.NotebookClient(notebook, timeout=1200, kernel_name="python3", resources=resources).execute()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"the notebook took {time.monotonic() - start:.0f} s, {used:.0f} s of one core")
    return root, notebook, used


def outputs(notebook: Any, call: str) -> list[Any]:
    """The outputs of the cell that calls ``bridge.CALL``."""
    (cell,) = [c for c in notebook.cells if c.cell_type == "code" and f"bridge.{call}" in c.source]
    return cell.outputs


def text_of(found: list[Any]) -> str:
    return "".join(o.get("text", "") for o in found)


def pictures(found: list[Any]) -> int:
    return sum("image/png" in o.get("data", {}) for o in found)


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(executed: tuple[Path, Any, float]) -> None:
    root, notebook, _ = executed
    assert not [o for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "error"]
    for call, shown in {
        "show_data": 1,
        "class_distribution": 1,
        "compare_networks": 1,
        "summarize_network": 1,
        "train_network": 1,
        "show_results": 1,
        "image_plots": 1,
    }.items():
        assert pictures(outputs(notebook, call)) == shown, call
    for name in ("b0/latest.pth", "b0/curves.png", "single/gray", "multi/charts/iou.png", "scales.png"):
        assert (root / "work_dirs" / "notebook" / name).exists()


@pytest.mark.slow
def test_the_notebook_takes_less_than_five_minutes(executed: tuple[Path, Any, float]) -> None:
    """Of one core: what else the machine does plays no part then."""
    assert 10 < executed[2] < 300


@pytest.mark.slow
def test_what_the_notebook_says(executed: tuple[Path, Any, float]) -> None:
    _, notebook, _ = executed
    assert "15.579 G" in text_of(outputs(notebook, "compare_networks"))
    assert "the training is finished: mIoU" in text_of(outputs(notebook, "train_network"))
    assert "train:\nepoch" in text_of(outputs(notebook, "printer"))
    assert "4 of 50 predictions" in text_of(outputs(notebook, "show_results"))
    stderr = [o for c in notebook.cells for o in c.get("outputs", []) if o.get("name") == "stderr"]
    assert stderr == []
    (scores,) = [text_of(c.outputs) for c in notebook.cells if "per_class()" in c.source]
    single, multi = map(float, scores.splitlines()[-1].split()[1:])
    assert 20 < single < 70 and 20 < multi < 70
