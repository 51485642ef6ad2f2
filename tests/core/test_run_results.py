"""Results survive a file, and a foreign file is refused."""

from __future__ import annotations

import numpy as np
import pytest

from mmseg.core.evaluation.run_results import RunResults, load_results, save_results
from mmseg.utils.errors import UserError
from tests.helpers_report import drawn_results


def test_there_and_back(tmp_path):
    results = drawn_results(images=4, folder=tmp_path, checkpoint="a/b.pth", nothing=float("nan"))
    results.missing = {"cost": "why not"}
    path = tmp_path / "report_data.npz"
    save_results(results, str(path))
    loaded = load_results(str(path))
    for key in ("per_image", "confusion", "calibration"):
        np.testing.assert_array_equal(getattr(loaded, key), getattr(results, key))
    for key in ("distance", "size", "grid"):
        np.testing.assert_array_equal(getattr(loaded.places, key), getattr(results.places, key))
    assert loaded.thumbnails == results.thumbnails and len(loaded.thumbnails) == 4
    assert loaded.classes == results.classes and loaded.curves == results.curves
    assert loaded.about == {**results.about, "nothing": None} and loaded.missing == results.missing
    assert list(tmp_path.glob("*.tmp")) == []


def test_results_without_counts(tmp_path):
    path = tmp_path / "x.npz"
    save_results(RunResults("bare", scores={"mIoU": 0.5}), str(path))
    loaded = load_results(str(path))
    assert loaded.scores == {"mIoU": 0.5} and loaded.per_image is None and loaded.places is None


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is no results file of tools/report.py"):
        load_results(str(path))


def test_a_file_of_another_version_is_refused(tmp_path):
    results = drawn_results(images=2)
    results.calibration = results.calibration[:, :5]
    save_results(results, str(tmp_path / "x.npz"))
    with pytest.raises(UserError, match="another version.*--evaluate-again"):
        load_results(str(tmp_path / "x.npz"))
    with pytest.raises(UserError, match="does not exist"):
        load_results(str(tmp_path / "y.npz"))
