"""``pretty_text`` and ``dump``: every text loads back to the config it came from."""

from __future__ import annotations

import enum
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmseg.config import Config
from mmseg.config.text import dumps
from mmseg.utils.errors import UserError

SUFFIXES = [".py", ".yaml", ".yml", ".json"]

RECIPE = dict(
    model=dict(
        type="EncoderDecoder",
        pretrained=None,
        backbone=dict(
            type="MixVisionTransformer", embed_dims=64, out_indices=(0, 1, 2, 3), drop_path_rate=0.1
        ),
        decode_head=dict(
            type="SegformerHead", loss_decode=dict(type="CrossEntropyLoss", class_weight=[0.75952312] * 19)
        ),
        train_cfg=dict(),
    ),
    crop_size=(368, 368),
    optimizer=dict(
        lr=6e-05, betas=(0.9, 0.999), paramwise_cfg=dict(custom_keys={"pos.block": dict(lr_mult=0.0)})
    ),
    workflow=[("train", 500), ("val", 1)],
    load_from=None,
)


def test_pretty_text_is_readable_python() -> None:
    assert (
        Config(RECIPE).pretty_text
        == """\
model = dict(
    type='EncoderDecoder',
    pretrained=None,
    backbone=dict(type='MixVisionTransformer', embed_dims=64, out_indices=(0, 1, 2, 3), drop_path_rate=0.1),
    decode_head=dict(
        type='SegformerHead',
        loss_decode=dict(
            type='CrossEntropyLoss',
            class_weight=[
                0.75952312, 0.75952312, 0.75952312, 0.75952312, 0.75952312, 0.75952312, 0.75952312,
                0.75952312, 0.75952312, 0.75952312, 0.75952312, 0.75952312, 0.75952312, 0.75952312,
                0.75952312, 0.75952312, 0.75952312, 0.75952312, 0.75952312,
            ],
        ),
    ),
    train_cfg=dict(),
)
crop_size = (368, 368)
optimizer = dict(
    lr=6e-05,
    betas=(0.9, 0.999),
    paramwise_cfg=dict(custom_keys={'pos.block': dict(lr_mult=0.0)}),
)
workflow = [('train', 500), ('val', 1)]
load_from = None
"""
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_dump_loads_back_equal_tuples_included(tmp_path: Path, suffix: str) -> None:
    config = Config(RECIPE)
    path = tmp_path / f"dumped{suffix}"
    assert config.dump(path) is None
    again = Config.fromfile(path)
    assert again == config
    assert isinstance(again.crop_size, tuple) and isinstance(again.workflow[0], tuple)
    assert isinstance(again.workflow, list)
    assert again.dump() == path.read_text()
    assert Config.fromfile(path).pretty_text == config.pretty_text


def test_json_of_a_config_has_plain_lists(tmp_path: Path) -> None:
    Config(RECIPE).dump(tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["crop_size"] == [368, 368] and data["workflow"] == [["train", 500], ["val", 1]]


def test_an_edited_json_dump_still_loads(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    Config(dict(a=[(1, 2), (3, 4)], b=(5,), c=dict(d=(6,)))).dump(path)
    data = json.loads(path.read_text())
    del data["a"][1], data["c"]
    data["b"] = 7
    path.write_text(json.dumps(data))
    assert Config.fromfile(path) == dict(a=[(1, 2)], b=7)


def test_without_a_file_dump_returns_text_in_the_format_it_was_read_from(tmp_path: Path) -> None:
    assert Config(dict(a=(1,))).dump() == "a = (1,)\n"
    (tmp_path / "a.yaml").write_text("a: {b: [1]}\n")
    assert Config.fromfile(tmp_path / "a.yaml").dump() == "a:\n  b:\n  - 1\n"


class Colour(str, enum.Enum):  # noqa: UP042  (StrEnum prints as its value)
    RED = "red"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_values_that_only_look_plain(suffix: str) -> None:
    config = Config(
        dict(
            a=np.float64(0.1),
            b=np.float32(0.5),
            c=np.arange(3),
            d=Path("x/y"),
            e=Colour.RED,
            f=np.int64(3),
            g=np.bool_(True),
        )
    )
    again = Config.fromstring(dumps(config._cfg_dict, suffix), suffix)
    assert again == dict(a=0.1, b=0.5, c=[0, 1, 2], d="x/y", e="red", f=3, g=True)
    assert type(again.e) is str and again.g is True


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_awkward_values(suffix: str) -> None:
    config = Config(
        {
            "infinite": [math.inf, -math.inf],
            "small": 1e-5,
            "words": [
                "1e-5",
                "1.5",
                "null",
                "yes",
                "",
                " a ",
                "a: b",
                "#",
                'it\'s "so"',
                "two\nlines",
                "größe",
                "\\x",
            ],
            "references": [
                "{{ fileBasename }}",
                "{{$HOME:x}}/{{_base_.a}}",
                "{{'$A:1'}}",
                {"{{ fileDirname }}": 1},
            ],
            "empty": [[], (), {}, [()], ((),)],
            "one": (1,),
            "not-a-name": {"class": 1, "a b": 2, "ﬁ": 3, "self": 4},
            "class": dict(lambda_=1),
            "dict": 5,
            "float": dict(a=1),
            "last": dict(a=1, b=[dict(c=(1, dict(d=2)))]),
        }
    )
    assert Config.fromstring(dumps(config._cfg_dict, suffix), suffix) == config


def test_python_holds_more_kinds_than_the_others() -> None:
    values = {
        "a": {1: "x", None: "y", (1, 2): "z"},
        "b": {3, 4},
        "c": b"x",
        "d": range(3),
        "e": 1j,
        "f": frozenset("a"),
    }
    config = Config(values)
    assert Config.fromstring(config.pretty_text, ".py") == config
    part = {k: values[k] for k in ("a", "b", "c")}
    assert Config.fromstring(dumps(part, ".yaml"), ".yaml") == part
    with pytest.raises(UserError, match=r"`a.1`: the keys of JSON are strings, not 1; write .py or .yaml"):
        dumps({"a": {1: "x"}}, ".json")
    with pytest.raises(UserError, match=r"`b` is \{3.*cannot hold a set"):
        dumps({"b": {3}}, ".json")


def test_what_no_file_can_hold(tmp_path: Path) -> None:
    config = Config(dict(model=dict(steps=[dict(type=Config)])))
    for suffix in SUFFIXES:
        with pytest.raises(UserError, match=r"`model.steps.0.type` is <class .*cannot hold a type"):
            config.dump(tmp_path / f"a{suffix}")
        assert not (tmp_path / f"a{suffix}").exists()
    assert "Config" in Config.fromstring(config.pretty_text, ".py").model.steps[0].type


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a config file ends in .py, .yaml, .yml, .json, not in `.txt`"):
        Config().dump(tmp_path / "a.txt")
    with pytest.raises(UserError, match=r"cannot write the config to .*/nowhere/a.py: No such file"):
        Config().dump(tmp_path / "nowhere" / "a.py")


WORDS = st.text(max_size=8) | st.text("{}$_:'\"\\ fileDirnamebase.1e-", max_size=16)
# `_base_` and its kin mean something, at the top level or within; `__x` is a file's own.
SPECIAL = {"_base_", "_delete_", "_deprecation_", "filename", "text", "pretty_text", "custom_imports"}
KEYS = (st.from_regex(r"[a-z][a-z_]{0,5}", fullmatch=True) | WORDS).filter(lambda k: k not in SPECIAL)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda v: (
        st.lists(v, max_size=4) | st.lists(v, max_size=4).map(tuple) | st.dictionaries(KEYS, v, max_size=4)
    ),
    max_leaves=12,
)
CONFIGS = st.dictionaries(KEYS.filter(lambda k: not k.startswith("__")), VALUES, max_size=4)


def types_of(value: Any) -> Any:
    """The types of a config's values, in its shape: ``1 == 1.0 == True``, which a dump must tell apart."""
    if isinstance(value, dict):
        return {k: types_of(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [types_of(v) for v in value]
    return type(value)


@pytest.mark.parametrize("suffix", [".py", ".yaml", ".json"])
@given(values=CONFIGS)
def test_any_config_comes_back_from_its_dump(suffix: str, values: dict[str, Any]) -> None:
    config = Config(values)
    again = Config.fromstring(dumps(values, suffix), suffix)
    assert again == config
    assert types_of(again.to_dict()) == types_of(values)


@given(CONFIGS)
def test_pretty_text_is_one_statement_per_key(values: dict[str, Any]) -> None:
    text = Config(values).pretty_text
    assert sum(not line.startswith((" ", ")", "]", "}")) for line in text.splitlines()) == len(values)
