"""Costs as text."""

from __future__ import annotations

import re

from torch import nn

from mmseg.core.cost.tables import cost_tree, giga, listed, mega, params_of


def test_units_have_three_decimals():
    assert giga(15579408328) == "15.579 G" and mega(3720051) == "3.720 M"
    assert listed({"small": 1e6, "large": 2e9}) == "large 2.000 G, small 0.001 G"


def test_shared_parameters_count_once():
    layer = nn.Linear(3, 4)
    assert params_of([nn.Sequential(layer, nn.ReLU(), layer)]) == params_of([layer, layer]) == 16


def test_tree_has_the_shares_of_every_module():
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), nn.Linear(4, 4, bias=False))
    text = cost_tree(model, {"": 4_000_000, "0": 3_000_000, "0.0": 3_000_000, "1": 1_000_000})
    lines = text.splitlines()
    assert lines[0] == "Sequential(" and lines[-1] == ")"
    assert lines[1].strip() == "0.000 M, 100.000% Params, 0.004 GMac, 100.000% MACs"
    conv = next(line for line in lines if "Conv2d" in line)
    facts = "0.000 M, 50.000% Params, 0.003 GMac, 75.000% MACs"
    assert conv == f"    (0): Conv2d({facts}, 3, 4, kernel_size=(1, 1), stride=(1, 1))"
    # Without the costs it is what print(model) shows.
    bare = re.sub(r"\d+\.\d+ M, [\d.]+% Params, [\d.]+ GMac, [\d.]+% MACs(, )?", "", text)
    assert "\n".join(line for line in bare.splitlines() if line.strip()) == repr(model)
