"""Running a benchmark script with ``--quick`` inside a test."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch


def run_quick(script: str, folder: Path, *args: str, threads: int = 1) -> dict[str, Any]:
    """Run ``benchmarks/SCRIPT.py --quick`` here; returns the entry that it recorded.

    The threads of torch and OpenCV are as before afterwards.

    Args:
        script: Such as ``bench_eval``.
        folder: Receives the record.
        args: Further arguments of the script.
        threads: Its ``--threads``.
    """
    module = importlib.import_module(f"benchmarks.{script}")
    out = folder / f"{script}.jsonl"
    argv = [f"{script}.py", "--quick", "--threads", str(threads), "--out", str(out), *args]
    former = torch.get_num_threads(), cv2.getNumThreads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", argv)
        patch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
        try:
            module.main()
        finally:
            torch.set_num_threads(former[0])
            cv2.setNumThreads(former[1])
    return json.loads(out.read_text().splitlines()[-1])
