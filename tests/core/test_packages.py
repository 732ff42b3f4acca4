"""Importing what not everybody installs."""

import os
import sys
from pathlib import Path

import pytest

from edgeanim.core.errors import MissingComponent
from edgeanim.core.packages import installed, require


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a package of one file that is forgotten after the test; gives its name."""

    def write(code: str) -> str:
        (tmp_path / "packages_probe.py").write_text(code)
        return "packages_probe"

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    sys.modules.pop("packages_probe", None)


@pytest.mark.parametrize(
    "code",
    [
        "raise ImportError('initialization failed') from KeyboardInterrupt()",
        "try:\n    raise ImportError('initialization failed') from KeyboardInterrupt()\n"
        "except ImportError as error:\n    raise ImportError('no native part') from error",
        "try:\n    raise KeyboardInterrupt\n"
        "except BaseException:\n    raise OSError('library not loaded')",
    ],
    ids=["native", "wrapped", "while handled"],
)
def test_ctrl_c_while_a_package_starts_is_no_missing_package(package, code):
    with pytest.raises(KeyboardInterrupt):
        require("Testing", package(code), extra="all")


def test_what_is_not_there_is_named_with_the_line_that_installs_it():
    with pytest.raises(MissingComponent) as caught:
        require("Pruning", "json", "no_such_package.part", extra="compress")
    assert str(caught.value) == (
        "Pruning needs the package 'no_such_package', which cannot be imported (No module named "
        "'no_such_package'). Install it with: pip install 'edgeanim[compress]'"
    )


@pytest.mark.parametrize("error", ["ImportError", "OSError", "AttributeError"])
def test_a_package_that_breaks_in_its_own_import_is_missing_too(package, error):
    with pytest.raises(MissingComponent, match="built for another"):
        require("Testing", package(f"raise {error}('built for another')"), extra="all")


def test_what_a_package_prints_while_it_starts_is_not_shown(package, capfd):
    name = package("import os, warnings\nos.write(2, b'native')\nwarnings.warn('old')\n")
    require("Testing", name, extra="all")
    assert name in sys.modules
    assert capfd.readouterr() == ("", "")


def test_telemetry_is_off_before_a_package_starts(package, monkeypatch):
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    name = package("import os\nseen = os.environ['DO_NOT_TRACK']\n")
    require("Testing", name, extra="all")
    assert os.environ["DO_NOT_TRACK"] == "1"


def test_whether_a_package_is_there_is_known_without_starting_it(package, monkeypatch):
    name = package("raise AssertionError('imported')")
    assert installed(name)
    assert not installed("no_such_package")
    monkeypatch.setitem(sys.modules, name, None)
    assert not installed(name)
