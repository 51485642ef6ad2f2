"""Properties of whole configs: files that inherit, merging, overrides from a command line, and dumps."""

from __future__ import annotations

import argparse
import copy
import itertools
import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmseg.config import Config, DictAction
from mmseg.config.literal import literal_config
from mmseg.config.merge import merge, strip_delete
from mmseg.config.text import dumps
from mmseg.utils.errors import UserError

SUFFIXES = [".py", ".yaml", ".json"]
# Words that some language takes for something else than text.
WORDS = st.one_of(
    st.text(max_size=6),
    st.text("{}$_:'\"\\ \n\r\t#,=()[]&*!|>%@`-~é𝕏\u2028\x85\x00", max_size=8),
    st.sampled_from(
        ["1e-5", "1_000", "0x1f", "007", "+1", ".5", "nan", "-inf", ".inf", "None", "null", "~", "yes", "off"]
        + [
            "2001-01-01",
            "1:30",
            "<<",
            "=",
            "{{ x }}",
            "'it''s'",
            '"',
            "\\",
            "\ufeff",
            "a\nb",
            " a ",
            "!!int 3",
        ]
    ),
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([1e-5, 6e-05, 1e22, 1e300, -0.0, 5e-324, math.nan, math.inf, -math.inf, 2**70]),
)
SPECIAL = {"_base_", "_delete_", "_deprecation_", "filename", "text", "pretty_text", "custom_imports"}
NAMES = (st.sampled_from(["a", "b", "class", "a b", "lr.mult", "0", "1", "é"]) | WORDS).filter(
    lambda key: key not in SPECIAL and not key.startswith("__")
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda v: (
        st.lists(v, max_size=3) | st.lists(v, max_size=3).map(tuple) | st.dictionaries(NAMES, v, max_size=3)
    ),
    max_leaves=10,
)
CONFIGS = st.dictionaries(NAMES, VALUES, max_size=4)


def exactly(value: Any) -> Any:
    """``value`` with its types, so that 1, 1.0 and True differ, NaN equals NaN, and -0.0 is not 0.0."""
    if isinstance(value, dict):
        return [(key, exactly(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [exactly(item) for item in value]
    return type(value), repr(value)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(values=CONFIGS)
def test_a_dump_loads_back_exactly(suffix: str, values: dict[str, Any]) -> None:
    text = dumps(values, suffix)
    again = Config.fromstring(text, suffix).to_dict()
    assert sorted(map(repr, exactly(again))) == sorted(map(repr, exactly(values)))
    assert dumps(again, suffix) == text  # and from then on nothing moves any more


@given(values=CONFIGS.filter(lambda values: all(key.isidentifier() for key in values)))
def test_the_text_of_a_checkpoint_is_read_without_running_it(values: dict[str, Any]) -> None:
    text = dumps(values, ".py")
    assume("globals()" not in text)  # a top-level key that is no name of Python's needs a call
    assert exactly(literal_config(text, "checkpoint").to_dict()) == exactly(
        Config.fromstring(text, ".py").to_dict()
    )


# Merging ------------------------------------------------------------------------------------------

KEYS = st.sampled_from("abc")
LEAVES = st.none() | st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=2) | st.just((1, 2))
# A dictionary where another one has a leaf is refused, so leaves and branches have names of their own.
BRANCHES = st.sampled_from("xyz")


def trees(delete: bool) -> st.SearchStrategy[dict[str, Any]]:
    marks = st.just({"_delete_": True}) | st.just({}) if delete else st.just({})
    leaves = st.dictionaries(KEYS, LEAVES, max_size=3)

    def node(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        branches = st.dictionaries(BRANCHES, st.builds(lambda a, b: {**a, **b}, inner, marks), max_size=2)
        return st.builds(lambda a, b: {**a, **b}, leaves, branches)

    return st.recursive(leaves, node, max_leaves=6)


def over(child: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    return merge(child, base, where="test")


@given(trees(False), trees(False), trees(False))
def test_merging_is_associative(first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]) -> None:
    assert over(third, over(second, first)) == over(over(third, second), first)


@given(trees(True), trees(True))
def test_merging_obeys_its_rules(child: dict[str, Any], base: dict[str, Any]) -> None:
    base = strip_delete(base, "", "test")
    kept = copy.deepcopy((child, base))
    merged = over(child, base)
    assert (child, base) == kept
    assert over({}, base) == base and over(base, {}) == base and over(base, base) == base
    assert over(child, merged) == merged  # saying the same again changes nothing

    def check(new: dict[str, Any], old: dict[str, Any], result: dict[str, Any]) -> None:
        assert list(result) == [*old, *(key for key in new if key not in old)]
        for key in result:
            if key not in new:
                assert result[key] == old[key]
            elif not isinstance(new[key], dict):
                assert result[key] == new[key]
            elif new[key].get("_delete_"):
                assert result[key] == strip_delete(new[key], "", "test")
            else:
                check({k: v for k, v in new[key].items() if k != "_delete_"}, old.get(key, {}), result[key])

    check(child, base, merged)


@settings(max_examples=40)
@given(
    layers=st.lists(trees(True), min_size=1, max_size=4),
    suffixes=st.lists(st.sampled_from(SUFFIXES), min_size=4),
)
def test_a_chain_of_files_is_the_merge_of_what_they_say(
    tmp_path_factory: pytest.TempPathFactory, layers: list[dict[str, Any]], suffixes: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("chain", numbered=True)
    expected: dict[str, Any] = {}
    below = None
    for i, (layer, suffix) in enumerate(zip(layers, itertools.cycle(suffixes), strict=False)):
        # JSON says which lists are tuples in a key of its own, which YAML and Python need not.
        path = folder / f"{i}{suffix}"
        path.write_text(dumps({**layer, **({"_base_": below.name} if below else {})}, suffix))
        expected = over(layer, expected)
        below = path
    config = Config.fromfile(below)
    assert exactly(config.to_dict()) == exactly(expected)
    for suffix in SUFFIXES:
        config.dump(folder / f"dumped{suffix}")
        assert exactly(Config.fromfile(folder / f"dumped{suffix}").to_dict()) == exactly(expected)


# Overrides ----------------------------------------------------------------------------------------

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.sampled_from([1e-5, math.inf, -math.inf, "mit_b0", "a b", "x=y", "größe", "runs/x:", "two\nlines"]),
)
WRITTEN = st.recursive(PLAIN, lambda v: st.lists(v, max_size=3) | st.lists(v, max_size=3).map(tuple))
STEPS = st.sampled_from(["model", "lr", "class", "a-b", "0", "1", "größe"])
NESTED = st.dictionaries(
    STEPS,
    st.recursive(
        PLAIN,
        lambda t: st.lists(t, max_size=3) | st.dictionaries(STEPS, t, min_size=1, max_size=3),
        max_leaves=8,
    ),
    min_size=1,
    max_size=3,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a tree, branches too."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [place for key, item in items for place in paths(item, (*path, key))]
    return [path, *below] if path else below


def written(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        opening, closing = "[]" if isinstance(value, list) else "()"
        return opening + ",".join(map(written, value)) + ("," if value else "") + closing
    return str(value)


def replaced(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    tree = copy.copy(tree)
    tree[path[0]] = replaced(tree[path[0]], path[1:], value)
    return tree


def overridden(config: Config, *arguments: str) -> Config:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    config.merge_from_dict(parser.parse_args(["--cfg-options", *arguments]).cfg_options)
    return config


@settings(max_examples=60)
@given(tree=NESTED, data=st.data())
def test_any_place_can_be_overridden_and_dumped(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, Any], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(paths(tree)))
    value = data.draw(WRITTEN)
    expected = replaced(tree, path, value)
    config = overridden(Config(tree), f"{'.'.join(map(str, path))}={written(value)}")
    assert exactly(config.to_dict()) == exactly(expected)
    file = tmp_path_factory.getbasetemp() / f"overridden{data.draw(st.sampled_from(SUFFIXES))}"
    config.dump(file)
    assert sorted(map(repr, exactly(Config.fromfile(file).to_dict()))) == sorted(map(repr, exactly(expected)))


@given(tree=NESTED, data=st.data())
def test_a_deleted_branch_holds_the_new_values_only(tree: dict[str, Any], data: st.DataObject) -> None:
    def at(path: tuple[Any, ...]) -> Any:
        value: Any = tree
        for step in path:
            value = value[step]
        return value

    branches = [path for path in paths(tree) if isinstance(at(path), dict)]
    assume(branches)
    path = data.draw(st.sampled_from(branches))
    key = ".".join(map(str, path))
    config = overridden(Config(tree), f"{key}.new=1", f"{key}._delete_=True")
    assert config == replaced(tree, path, {"new": 1})


def test_nan_of_a_command_line() -> None:
    config = overridden(Config({"a": [1]}), "a.0=nan", "b=[nan,inf]")
    assert math.isnan(config.a[0]) and math.isnan(config.b[0]) and config.b[1] == math.inf
    for suffix in SUFFIXES:
        again = Config.fromstring(dumps(config.to_dict(), suffix), suffix)
        assert exactly(again.to_dict()) == exactly(config.to_dict())


@given(trees(False), NESTED)
def test_a_refused_override_leaves_the_config_as_it_was(tree: dict[str, Any], other: dict[str, Any]) -> None:
    config = Config({**other, **tree})
    before = exactly(config.to_dict())
    with pytest.raises(UserError):
        config.merge_from_dict({"model.lr": 3, "a": 1, "a.b": 2})
    assert exactly(config.to_dict()) == before
