"""A project of a tiny data set and model, and what stands for a notebook."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge import utils
from tests.helpers_bridge import EVALUATES, Shown, write_checkpoint, write_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``tiny.py``, its data in ``scenes`` and weights in ``tiny.pth``."""
    root = tmp_path_factory.mktemp("project")
    config = write_project(root, evaluation=EVALUATES)
    write_checkpoint(config, root / "tiny.pth")
    return root


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Makes the bridge believe that it is in a notebook."""
    shown = Shown()
    monkeypatch.setattr(utils, "in_notebook", lambda: True)
    monkeypatch.setattr(utils, "_display", lambda: shown)
    return shown
