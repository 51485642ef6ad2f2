"""The environment report, and what importing mmseg.utils costs."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import mmseg
from mmseg.utils import collect_env, env


def test_the_report_names_what_a_bug_report_needs() -> None:
    report = collect_env()
    assert report["PyTorch"] == torch.__version__
    assert report["MMSegmentation"].startswith(mmseg.__version__)
    for key in ("Python", "CUDA available", "TorchVision", "OpenCV", "NumPy", "sys.platform"):
        assert report[key]
    assert all(isinstance(k, str) and isinstance(v, str) and "\n" not in v for k, v in report.items())


def test_nothing_that_is_absent_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the driver\nis broken")

    monkeypatch.setattr(torch.cuda, "is_available", fail)
    monkeypatch.setattr(env, "_version", fail)
    monkeypatch.setattr(subprocess, "run", fail)
    report = collect_env()
    assert report["CUDA available"] == report["TorchVision"] == "not available (the driver)"
    assert "MMSegmentation" in report


def test_gpus_are_listed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        name, total_memory = "NVIDIA T", 16 * 2**30

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 92600)
    assert collect_env()["GPU 0,1"] == "NVIDIA T (16 GiB)"


def test_the_commit_is_that_of_the_package_s_own_checkout(tmp_path: object) -> None:
    assert env._git_commit(f"{tmp_path}/site-packages/mmseg") is None


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, mmseg.utils, mmseg.utils.errors, mmseg.config\n"
        "heavy = {'torch', 'numpy', 'cv2', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert mmseg.utils.get_root_logger() and 'collect_env' in dir(mmseg.utils)\n"
        "assert 'torch' not in sys.modules\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_unknown_names_of_the_package_are_errors() -> None:
    import mmseg.utils

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mmseg.utils.nothing
