"""The models of the results table as ONNX, at the size of a KITTI frame and two others."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmseg.apis.export import export_model
from tests.helpers_export import TABLE, with_weights
from tests.helpers_run import REPO


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_onnx_agrees_with_pytorch(name: str, tmp_path: Path) -> None:
    config, hw = TABLE[name]
    model = with_weights(str(REPO / "configs" / config))
    path = tmp_path / "model.onnx"
    print(f"\n{name}")
    differences = export_model(model, str(path), hw=hw)
    assert path.stat().st_size > 1e6
    assert len({d.hw for d in differences}) == 3 and differences[0].hw == hw
    for difference in differences:
        assert difference.largest_logit > 0.05
        assert difference.largest < 1e-4
        assert difference.labels > 0.9999
