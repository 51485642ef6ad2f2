"""``custom_imports`` and ``_deprecation_``: what loading a config file does beside reading it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from mmseg.config import Config
from tests.helpers_config import error_of, write


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the logger ``mmseg`` says, whether or not a tool has configured it before."""
    monkeypatch.setattr(logging.getLogger("mmseg"), "propagate", True)
    caplog.set_level(logging.WARNING, "mmseg")
    return caplog


def test_custom_imports_are_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "config_extension", raising=False)
    write(config_extension="loaded = True\n")
    path = write(a="custom_imports = dict(imports='config_extension')\n")
    Config.fromfile(path, import_custom_modules=False)
    assert "config_extension" not in sys.modules
    Config.fromfile(path)
    assert sys.modules.pop("config_extension").loaded


def test_a_missing_required_module_names_file_and_module() -> None:
    path = write(a="custom_imports = dict(imports=['not_there.at_all'], allow_failed_imports=False)\n")
    message = error_of(path)
    assert (
        message.startswith("a.py: `custom_imports`: cannot import `not_there.at_all`")
        and "PYTHONPATH" in message
    )


def test_a_broken_required_module_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    write(config_broken="1 / 0\n")
    message = error_of(write(a="custom_imports = dict(imports=['config_broken'])\n"))
    assert "cannot import `config_broken`: division by zero (ZeroDivisionError)" in message


@pytest.mark.parametrize(
    "imports",
    [
        "imports=['not_there'], allow_failed_imports=True",
        "imports='mmcls.models', allow_failed_imports=False",
        "imports=['mmseg.core.not_there']",
    ],
)
def test_an_optional_or_replaced_module_is_a_warning(
    warnings: pytest.LogCaptureFixture, imports: str
) -> None:
    config = Config.fromfile(write(a=f"x = 1\ncustom_imports = dict({imports})\n"))
    assert config.x == 1
    (record,) = warnings.records
    assert record.levelname == "WARNING" and record.getMessage().startswith(
        "a.py: `custom_imports`: cannot import"
    )


@pytest.mark.parametrize("value", ["['os']", "dict(imports=3)", "dict(imports=[1])"])
def test_custom_imports_of_a_wrong_shape(value: str) -> None:
    assert error_of(write(a=f"custom_imports = {value}\n")).startswith("a.py: `custom_imports")


def test_a_deprecated_file_warns(warnings: pytest.LogCaptureFixture) -> None:
    config = Config.fromfile(
        write(a="x = 1\n_deprecation_ = dict(expected='b.py', reference='see CHANGELOG')\n")
    )
    assert config == {"x": 1}
    assert warnings.messages == ["config file a.py is deprecated; use b.py instead (see CHANGELOG)"]
