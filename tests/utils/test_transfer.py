"""Rows of a classifier go by the names of the classes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmseg.utils.errors import UserError
from mmseg.utils.transfer import class_names_of, matching_classes, transfer_rows

THEIRS = ["road", "traffic light", "person", "vegetation"]
OURS = ["Road", "tree", "traffic_light", "sky", "pedestrian"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (True, {0: 0, 2: 1}),
        ({"tree": "vegetation"}, {0: 0, 1: 3, 2: 1}),
        ({"tree": "vegetation", "pedestrian": "Person", "road": "person"}, {0: 2, 1: 3, 2: 1, 4: 2}),
        ({}, {0: 0, 2: 1}),
    ],
)
def test_names_are_matched(wanted: Any, expected: dict[int, int]) -> None:
    assert matching_classes(THEIRS, OURS, wanted, "a.pth") == expected


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (
            {"trees": "vegetation"},
            "names the class 'trees', which the data set does not have; did you mean `tree`",
        ),
        (
            {"tree": "vegetatoin"},
            "names the class 'vegetatoin', which a.pth does not have; did you mean `vegetat",
        ),
        ("tree", "is True, False or a dictionary of class names, not str"),
    ],
)
def test_mistakes_are_named(wanted: Any, words: str) -> None:
    with pytest.raises(UserError) as caught:
        matching_classes(THEIRS, OURS, wanted, "a.pth")
    assert words in str(caught.value) and str(caught.value).startswith("transfer_classes")


def test_names_of_which_none_agrees() -> None:
    with pytest.raises(
        UserError, match=r"none of the data set's classes \(cat, dog\) is one of a.pth \(road"
    ):
        matching_classes(THEIRS, ["cat", "dog"], True, "a.pth")


def test_rows_of_every_classifier_move() -> None:
    def weights(classes: int, value: float) -> dict[str, torch.Tensor]:
        rows = torch.arange(classes, dtype=torch.float32) + value
        return {
            "decode_head.conv_seg.weight": rows[:, None, None, None].repeat(1, 2, 1, 1),
            "auxiliary_head.1.conv_seg.bias": rows.clone(),
            "decode_head.conv.weight": torch.full((2, 2), value),
        }

    theirs, ours = weights(4, 10), weights(5, 100)
    moved = transfer_rows(theirs, ours, {0: 0, 2: 1, 4: 2}, (4, 5))
    expected = torch.tensor([10.0, 101, 11, 103, 12])
    assert torch.equal(moved["decode_head.conv_seg.weight"][:, 1, 0, 0], expected)
    assert torch.equal(moved["auxiliary_head.1.conv_seg.bias"], expected)
    assert torch.equal(moved["decode_head.conv.weight"], theirs["decode_head.conv.weight"])
    assert torch.equal(
        ours["auxiliary_head.1.conv_seg.bias"], weights(5, 100)["auxiliary_head.1.conv_seg.bias"]
    )


def test_another_layer_of_that_name_is_left_alone() -> None:
    theirs = {"a.conv_seg.weight": torch.zeros(4, 2, 1, 1), "b.conv_seg.weight": torch.zeros(7, 2, 1, 1)}
    ours = {"a.conv_seg.weight": torch.ones(5, 3, 1, 1), "b.conv_seg.weight": torch.ones(5, 2, 1, 1)}
    assert transfer_rows(theirs, ours, {0: 0}, (4, 5)) == theirs


@pytest.mark.parametrize(
    ("checkpoint", "names"),
    [
        ({"meta": {"CLASSES": ("a", "b")}}, ["a", "b"]),
        ({"meta": {"dataset_meta": {"classes": ["a"]}}}, ["a"]),  # of 1.x
        ({"meta": {"CLASSES": None}}, None),
        ({"meta": None}, None),
        ({}, None),
    ],
)
def test_names_in_a_checkpoint(checkpoint: dict[str, Any], names: list[str] | None) -> None:
    assert class_names_of(checkpoint) == names
