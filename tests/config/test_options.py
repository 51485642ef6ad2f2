"""Overrides: ``DictAction`` on command lines and ``Config.merge_from_dict``."""

from __future__ import annotations

import argparse
import logging
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mmseg.config import Config, ConfigDict, DictAction
from mmseg.utils.errors import UserError


def parse(*arguments: str) -> dict[str, Any] | None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", "--options", nargs="+", action=DictAction)
    return parser.parse_args(arguments).cfg_options


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-2", -2),
        ("1e-5", 1e-5),
        ("True", True),
        ("false", False),
        ("None", None),
        ("none", "none"),
        ("", ""),
        ("x", "x"),
        ("'two words'", "two words"),
        ("a=b", "a=b"),
        ("x,y", ["x", "y"]),
        ("1,a,None", [1, "a", None]),
        ("x,", ["x"]),
        ("[1,2]", [1, 2]),
        ("[1, 2 ]", [1, 2]),
        ("(1,2)", (1, 2)),
        ("(1,)", (1,)),
        ("(1)", (1,)),
        ("[]", []),
        ("()", ()),
        ("[[]]", [[]]),
        ("[(1,2),(3,4)]", [(1, 2), (3, 4)]),
        ("(1,2),(3,4)", [(1, 2), (3, 4)]),
        ("[('train',500),('val',1)]", [("train", 500), ("val", 1)]),
        ('["a","b c"]', ["a", "b c"]),
        ("[1,[2,(3,[4])],5]", [1, [2, (3, [4])], 5]),
        ("{'a': [1, {'b': 2}]}", {"a": [1, {"b": 2}]}),
        ("[{'a': 1, 'b': 2}, 3]", [{"a": 1, "b": 2}, 3]),
        ("{name}", "{name}"),
        ("runs/x:)", "runs/x:)"),
        ("[a-z]+", "[a-z]+"),
    ],
)
def test_values(text: str, value: Any) -> None:
    parsed = parse("--cfg-options", f"key={text}")
    assert parsed == {"key": value}
    assert type(parsed["key"]) is type(value)


def test_many_at_once_and_twice() -> None:
    assert parse("--cfg-options", "a.b=1", "c.0.d=[1,2]", "e=(1,2)", "--cfg-options", "f=None", "e=3") == {
        "a.b": 1,
        "c.0.d": [1, 2],
        "e": 3,
        "f": None,
    }
    assert parse() is None


def test_one_value_without_nargs() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", action=DictAction)
    assert parser.parse_args(["--one", "a=1"]).one == {"a": 1}


def test_the_old_option_warns(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(logging.getLogger("mmseg"), "propagate", True)
    assert parse("--options", "a=1") == {"a": 1}
    # A set: pytest listens at a logger that does not propagate as well, so it may hear the line twice.
    assert set(caplog.messages) == {"--options is deprecated; use --cfg-options"}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("a", "--cfg-options: `a` is not of the form key=value"),
        ("=1", "`=1` is not of the form key=value"),
        ("a=[1,2", "the brackets of `[1,2` do not match"),
        ("a=(1,2]", "the brackets of `(1,2]` do not match"),
        ("a=1,2)", "the brackets of `1,2)` do not match"),
    ],
)
def test_mistakes_on_the_command_line(item: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse("--cfg-options", item)
    assert message in str(caught.value)


@pytest.fixture
def config() -> Config:
    return Config(
        dict(
            model=dict(type="A", pretrained=None, sizes=(1, 2), head=dict(channels=[1, 2])),
            data=dict(train=dict(pipeline=[dict(type="Load"), dict(type="Flip", prob=0.5)])),
            ids={0: "road", 1: "car"},
        )
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.type", "B"),
        ("model.head.channels.1", 5),
        ("model.sizes.0", 5),
        ("data.train.pipeline.1.prob", 0.1),
        ("data.train.pipeline.0", dict(to_float32=True)),
        ("data.train.pipeline", []),
        ("data.val.pipeline", [dict(type="X")]),
        ("ids.1", "lorry"),
        ("new.a.0.b", 1),
    ],
)
def test_overrides_change_one_place(config: Config, key: str, value: Any) -> None:
    before = config.to_dict()
    config.merge_from_dict({key: value})

    def at(values: Any) -> Any:
        for step in key.split("."):
            digit = step.isdigit() and (isinstance(values, (list, tuple)) or int(step) in values)
            values = values[int(step) if digit else step]
        return values

    if isinstance(value, dict):
        assert at(config) == {**at(before), **value}
    else:
        assert at(config) == value
    assert type(config._cfg_dict) is ConfigDict and type(config.model) is ConfigDict
    assert isinstance(config.model.sizes, tuple)


def test_later_options_build_on_earlier_ones(config: Config) -> None:
    config.merge_from_dict({"model": dict(head=dict(a=1)), "model.head.a": 2, "model.head.b": 3})
    assert config.model.head == dict(channels=[1, 2], a=2, b=3)


def test_delete_comes_first_wherever_it_stands(config: Config) -> None:
    config.merge_from_dict({"model.head.type": "FCN", "model.head._delete_": True})
    assert config.model.head == dict(type="FCN")


def test_the_value_given_is_copied(config: Config) -> None:
    value = dict(a=[1])
    config.merge_from_dict({"x": value})
    config.x.a.append(2)
    assert value == dict(a=[1])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("data.train.pipeline.2.type", "`data.train.pipeline` is a list of 2; its indices are 0 to 1"),
        ("data.train.pipeline.type", "`data.train.pipeline` is a list of 2"),
        ("model.sizes.-1", "`model.sizes` is a tuple of 2; its indices are 0 to 1"),
        ("model.type.x", "`model.type` is `'B'`, so `x` cannot be set in it"),
        ("model.pretrained.x", "`model.pretrained` is `None`, so `x` cannot be set in it"),
        ("model..type", "override `model..type`: a part of the key is empty"),
        ("", "override ``: a part of the key is empty"),
        ("model.head._delete_", "`model.head._delete_` is True or False, not 1"),
    ],
)
def test_bad_overrides(config: Config, key: str, message: str) -> None:
    before = config.to_dict()
    with pytest.raises(UserError) as caught:
        config.merge_from_dict({"model.type": "B", key: 1})
    assert message in str(caught.value) and f"`{key}`" in str(caught.value)
    assert config == before


def test_an_empty_list_has_no_index() -> None:
    with pytest.raises(UserError, match="`a` is a list of 0; its indices are none, it is empty"):
        Config(dict(a=[])).merge_from_dict({"a.0": 1})


def test_list_keys_can_be_refused(config: Config) -> None:
    with pytest.raises(UserError, match="`data.train.pipeline` is a list of 2"):
        config.merge_from_dict({"data.train.pipeline.0.type": "X"}, allow_list_keys=False)


NAMES = st.sampled_from("abcd")
LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["x", "y z"])
TREES = st.dictionaries(
    NAMES,
    st.recursive(LEAVES, lambda t: st.lists(t, max_size=3) | st.dictionaries(NAMES, t, max_size=3)),
    max_size=4,
)


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every dotted path to something that is no container, and to empty containers."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {
        k: v for name, item in items for k, v in leaves(item, f"{path}.{name}" if path else str(name)).items()
    }
    return found if found or not path else {path: value}


@given(TREES)
def test_overriding_with_what_is_there_changes_nothing(tree: dict[str, Any]) -> None:
    config = Config(tree)
    config.merge_from_dict(leaves(tree))
    assert config == tree


@given(TREES, st.data())
def test_an_override_changes_its_leaf_and_no_other(tree: dict[str, Any], data: st.DataObject) -> None:
    before = leaves(tree)
    assume(before)
    key = data.draw(st.sampled_from(sorted(before)))
    config = Config(tree)
    config.merge_from_dict({key: "new"})
    assert leaves(config.to_dict()) == {**before, key: "new"}


@given(TREES, TREES)
def test_merging_twice_is_merging_once(base: dict[str, Any], child: dict[str, Any]) -> None:
    config = Config(base)
    try:
        config.merge_from_dict(child)
    except UserError:
        assert config == base
        return
    once = config.to_dict()
    config.merge_from_dict(child)
    assert config == once
    assert all(config[k] == v for k, v in child.items() if not isinstance(v, dict))


WORDS = st.text("abc xyz", min_size=1).map(str.strip)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda v: st.lists(v, max_size=3) | st.lists(v, max_size=3).map(tuple),
)


def written(value: Any) -> str:
    """Write a value as one would on a command line."""
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}{',' if value else ''}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(written, value))}{',' if value else ''})"
    return str(value)


@given(VALUES)
def test_what_is_written_is_parsed(value: Any) -> None:
    assert parse("--cfg-options", f"key={written(value)}") == {"key": value}
