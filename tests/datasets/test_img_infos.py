from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmseg.datasets import build_dataset
from mmseg.datasets.files import missing_files
from mmseg.datasets.img_infos import ImgInfos, Joined, Names
from mmseg.utils.errors import UserError
from tests.helpers_data import kitti_config, write_pairs

stems = st.lists(st.text(st.characters(blacklist_categories=["Cs"]), max_size=6), max_size=8)


def plain(names: list[str], masks: bool = True) -> list[dict[str, Any]]:
    return [{"filename": f"{n}.jpg", **({"ann": {"seg_map": f"{n}_m.png"}} if masks else {})} for n in names]


def packed(names: list[str], masks: bool = True) -> ImgInfos:
    return ImgInfos.from_stems(names, ".jpg", "_m.png" if masks else None)


@given(names=stems, masks=st.booleans(), cut=st.slices(8))
def test_reads_as_a_list(names: list[str], masks: bool, cut: slice) -> None:
    infos, expected = packed(names, masks), plain(names, masks)
    assert len(infos) == len(expected) and bool(infos) == bool(expected)
    assert list(infos) == expected and infos == expected and expected == infos
    assert [infos[i] for i in range(-len(names), len(names))] == expected + expected
    assert infos[cut] == expected[cut] and list(infos[cut][::-1]) == expected[cut][::-1]
    assert list(infos.filenames) == [info["filename"] for info in expected]
    assert list(infos[cut].filenames) == [info["filename"] for info in expected[cut]]
    assert list(reversed(infos)) == expected[::-1]
    assert infos + infos == expected * 2 and [] + infos == expected and infos * 2 == expected * 2
    assert pickle.loads(pickle.dumps(infos)) == expected and copy.deepcopy(infos) == expected
    assert all(type(info) is dict for info in pickle.loads(pickle.dumps(list(infos))))


@pytest.mark.parametrize("index", [3, -4, 10**9])
def test_an_index_too_far(index: int) -> None:
    with pytest.raises(IndexError):
        packed(["a", "b", "c"])[index]
    with pytest.raises(IndexError):
        Joined([packed(["a", "b", "c"])])[index]


def _insert(infos: Any, i: int) -> None:
    infos.insert(i, {"filename": "new"})


def _assign(infos: Any, i: int) -> None:
    infos[i % len(infos)] = {"filename": f"assigned {i}"}


def _change(infos: Any, i: int) -> None:
    infos[i % len(infos)]["filename"] = f"changed {i}"


def _change_mask(infos: Any, i: int) -> None:
    entry = infos[i % len(infos)]
    if "ann" in entry:
        entry["ann"]["seg_map"] = f"changed {i}"


def _change_later(infos: Any, i: int) -> None:
    for number, entry in enumerate(list(infos)):
        entry.update(more=[number, i])


def _delete(infos: Any, i: int) -> None:
    del infos[i % len(infos)]


def _delete_many(infos: Any, i: int) -> None:
    del infos[:: i + 2]


def _sort(infos: Any, i: int) -> None:
    infos.sort(key=lambda info: str(info["filename"]), reverse=i % 2 == 0)


CHANGES = [_insert, _assign, _change, _change_mask, _change_later, _delete, _delete_many, _sort]
CHANGES += [lambda infos, i: infos.append({"filename": "last"}), lambda infos, i: infos.reverse()]
CHANGES += [lambda infos, i: infos[i % len(infos)].pop("ann", None)]


@given(
    names=stems.filter(bool),
    changes=st.lists(st.tuples(st.sampled_from(CHANGES), st.integers(0, 9)), max_size=5),
    sliced=st.booleans(),
)
def test_changes_as_a_list(names: list[str], changes: list[Any], sliced: bool) -> None:
    infos, expected = packed(names), plain(names)
    if sliced:
        infos, expected = infos[::-1], expected[::-1]
    for change, i in changes:
        if expected:
            change(infos, i)
            change(expected, i)
        assert infos == expected and list(infos) == expected
    assert [info["filename"] for info in infos] == list(infos.filenames)


def test_a_change_stays_where_it_was_made() -> None:
    infos = packed(["a", "b"])
    part, other = infos[:1], infos.copy()
    first = infos[0]
    taken = first.copy()
    taken["filename"] = "mine"
    assert infos == plain(["a", "b"])
    first["filename"] = "yours"
    first["filename"] = "again yours"
    assert infos[0]["filename"] == "again yours" and infos[0] is first
    assert part == plain(["a"]) and other == plain(["a", "b"])


def test_any_file_name() -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert list(Names([name, "é", ""], ".png")) == [f"{name}.png", "é.png", ".png"]


def test_a_million_names_are_small() -> None:
    infos = packed([f"{i:06d}" for i in range(100_000)])
    assert len(pickle.dumps(infos)) < 12 * 100_000
    assert infos[99_999] == {"filename": "099999.jpg", "ann": {"seg_map": "099999_m.png"}}
    assert infos._list is None  # looking does not unpack it


@given(parts=st.lists(stems, min_size=1, max_size=3), times=st.integers(1, 3), cut=st.slices(12))
def test_joined(parts: list[list[str]], times: int, cut: slice) -> None:
    joined = Joined([packed(part) for part in parts], times)
    expected = sum((plain(part) for part in parts), []) * times
    assert list(joined) == expected and joined == expected and len(joined) == len(expected)
    assert joined[cut] == expected[cut]
    assert [joined[i] for i in range(-len(expected), 0)] == expected


def test_a_data_set_reads_what_was_assigned(tmp_path: Path) -> None:
    data = build_dataset(kitti_config(write_pairs(tmp_path, count=4)))
    data.img_infos[0] = data.img_infos[3]
    data.img_infos[1]["ann"]["seg_map"] = "000002_10.png"
    data.img_infos = data.img_infos[:2]
    assert len(data) == 2 and data.get_ann_info(1) == {"seg_map": "000002_10.png"}
    assert data[0]["img_metas"]["ori_filename"] == "000003_10.png"
    assert np.array_equal(
        data.get_gt_seg_map_by_idx(1),
        build_dataset(kitti_config(tmp_path)).get_gt_seg_map_by_idx(2),
    )


def test_missing_files(tmp_path: Path) -> None:
    many = [f"many/{i}.png" for i in range(100)]
    for name in (*many, "few/0.png", "top.png", "many/.hidden.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "many/folder.png").mkdir()
    names = [*many, "many/100.png", "few/0.png", "few/1.png", "top.png", "no/1.png", "many/../top.png"]
    names += ["many/folder.png", "many/.hidden.png", *(f"none/{i}" for i in range(99))]
    missing = [names[i] for i in missing_files(str(tmp_path), names)]
    assert missing[:4] == ["many/100.png", "few/1.png", "no/1.png", "many/folder.png"]
    assert missing[4:] == [f"none/{i}" for i in range(99)]


def test_many_masks_missing(tmp_path: Path) -> None:
    root = write_pairs(tmp_path, count=70, size=(2, 2))
    for i in (5, 66):
        (root / f"ann_dir/{i:06d}_10.png").unlink()
    with pytest.raises(UserError, match=r"2 images of 70 have no mask: .*000005_10.png does not exist"):
        build_dataset(kitti_config(root))
