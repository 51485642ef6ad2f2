from __future__ import annotations

import torch

from mmseg.core.cost.data_flow import DataFlow


def test_only_what_the_outputs_depend_on() -> None:
    flow = DataFlow()
    a, b, c, d = (torch.zeros(3) for _ in range(4))
    flow.add_step([a], [b])  # 0
    flow.add_step([b, 2, None], [c])  # 1
    flow.add_step([b], [d])  # 2
    assert flow.steps_behind([c]) == {0, 1}
    assert flow.steps_behind([d, "text"]) == {0, 2}
    assert flow.steps_behind([a]) == set()
    assert flow.steps_behind([None]) is None


def test_writing_into_a_part_is_read_with_the_whole() -> None:
    flow = DataFlow()
    whole, other = torch.zeros(4), torch.zeros(2)
    flow.add_step([], [whole])  # 0
    flow.add_step([], [other])  # 1
    flow.add_step([whole], [whole[:2]])  # 2, a view
    flow.add_step([whole[:2], other], [whole[:2]])  # 3, other added to it in place
    assert flow.steps_behind([whole]) == {0, 1, 2, 3}


def test_memory_that_is_used_again_is_another() -> None:
    flow = DataFlow()
    a, b = torch.zeros(3), torch.zeros(3)
    flow.add_step([a], [b])  # 0
    flow.add_step([], [b])  # 1, as if b had been freed and its memory given to a new tensor
    assert flow.steps_behind([b]) == {1}
