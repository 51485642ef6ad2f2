"""``Config`` and ``ConfigDict`` as objects: access, copies, pickles."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from mmseg.config import Config, ConfigDict
from mmseg.utils.errors import UserError


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "a.py"
    path.write_text(
        "model = dict(type='A', head=dict(sizes=(1, 2)))\nsteps = [dict(type='Load')]\nlr = 0.1\n"
    )
    return Config.fromfile(path)


def test_items_and_attributes_are_the_same_at_every_depth(config: Config) -> None:
    assert config.model.head.sizes == config["model"]["head"]["sizes"] == (1, 2)
    assert config.steps[0].type == "Load"
    assert config.get("nothing", 3) == 3
    assert "lr" in config and "nothing" not in config
    assert list(config) == ["model", "steps", "lr"] == list(config.keys())
    assert len(config) == 3
    assert {**config}["lr"] == 0.1


def test_setting_and_deleting(config: Config) -> None:
    config.optimizer = dict(type="SGD", paramwise_cfg=dict(custom_keys={"head": dict(lr_mult=10)}))
    assert config.optimizer.paramwise_cfg.custom_keys.head.lr_mult == 10
    config["data"] = {"train": [{"type": "X"}]}
    assert config.data.train[0].type == "X"
    config.model.extra = ({"a": 1},)
    assert config.model.extra[0].a == 1
    assert config.pop("lr") == 0.1 and "lr" not in config
    del config["data"]
    del config.optimizer
    assert list(config) == ["model", "steps"]
    assert config.setdefault("new", {"b": 2}).b == 2


def test_a_missing_attribute_names_near_matches(config: Config) -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'modle'; did you mean `model`\?"):
        _ = config.modle
    with pytest.raises(AttributeError, match=r"did you mean `sizes`\?"):
        _ = config.model.head.size
    with pytest.raises(AttributeError, match="did you mean `head`"):
        del config.model.heads
    with pytest.raises(KeyError, match="modle"):
        _ = config["modle"]
    assert not hasattr(config, "load_from")


def test_methods_and_reserved_names_are_not_overwritten(config: Config) -> None:
    with pytest.raises(AttributeError, match="`keys` is a method"):
        config.model.keys = 1
    with pytest.raises(AttributeError, match="cannot be set"):
        config.filename = "b.py"
    for name in ("filename", "text", "pretty_text"):
        with pytest.raises(UserError, match=f"`{name}` is reserved"):
            Config({name: 1})
    with pytest.raises(UserError, match="Config.fromfile"):
        Config({"_base_": "a.py"})
    with pytest.raises(UserError, match="a config is a dictionary, not a list"):
        Config([1])


def test_the_dictionary_given_is_copied() -> None:
    given = {"a": {"b": [{"c": 1}]}}
    config = Config(given)
    config.a.b[0].c = 2
    assert given == {"a": {"b": [{"c": 1}]}}
    assert Config(config) == config and Config(config) is not config
    assert Config() == {} and Config().filename is None


def test_a_list_that_holds_no_dictionary_stays_the_same_object() -> None:
    values = [1, 2]
    config = ConfigDict()
    config.values_ = values
    assert config.values_ is values


def test_update_merges_dictionaries() -> None:
    config = ConfigDict(a=dict(b=1, c=dict(d=2)), e=3)
    config.update(dict(a=dict(c=dict(f=4))), e=dict(g=5))
    assert config == dict(a=dict(b=1, c=dict(d=2, f=4)), e=dict(g=5))
    assert config.e.g == 5


def test_to_dict_is_plain_at_every_depth() -> None:
    plain = ConfigDict(a=[dict(b=(dict(c=1),))]).to_dict()
    assert plain == {"a": [{"b": ({"c": 1},)}]}
    assert type(plain) is type(plain["a"][0]) is type(plain["a"][0]["b"][0]) is dict


@pytest.mark.parametrize("make", [copy.copy, lambda c: c.copy()])
def test_a_shallow_copy_has_its_own_top_level(config: Config, make) -> None:
    other = make(config)
    assert type(other) is Config and other == config and other.filename == config.filename
    assert other.model is config.model
    other.lr = 1
    assert config.lr == 0.1


@pytest.mark.parametrize("make", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_deep_copies_and_pickles_share_nothing(config: Config, make) -> None:
    other = make(config)
    assert other == config and other.text == config.text and other.filename == config.filename
    other.model.head.sizes = None
    other.steps[0].type = "B"
    assert config.model.head.sizes == (1, 2) and config.steps[0].type == "Load"
    inner = make(config.model)
    assert type(inner) is type(inner.head) is ConfigDict and inner == config.model


def test_equality_and_repr(config: Config) -> None:
    assert config == config.to_dict() and config != Config({"lr": 0.1}) and config != 3
    assert repr(config).startswith(f"Config (path: {config.filename}): {{'model'")


def test_text_holds_every_file_that_was_read(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("a = 1  # of the base\n")
    (tmp_path / "child.py").write_text("_base_ = 'base.py'\nb = 2\n")
    text = Config.fromfile(tmp_path / "child.py").text
    assert text.index("of the base") < text.index("b = 2")
    assert str(tmp_path / "base.py") in text and str(tmp_path / "child.py") in text


def test_importing_the_config_module_is_light() -> None:
    code = (
        "import sys, mmseg.config; print([m for m in ('torch', 'numpy', 'cv2', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
