"""The names of settings in texts: each is a setting, and none is written by hand."""

from pathlib import Path
from typing import Final

from app import setting_names
from app.config import Settings
from app.setting_names import PREFIX

APP: Final = Path(__file__).parents[1] / "app"

MAY_WRITE: Final = {"setting_names.py", "config.py", "cli.py", "profile.py", "traces.py"}
"""The definition, and the docstrings of the border, where settings are read; the commands too."""


def test_each_is_the_variable_of_a_setting() -> None:
    variables = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in set(setting_names.__all__) - {"PREFIX"}:
        assert getattr(setting_names, name) == PREFIX + name
        assert getattr(setting_names, name) in variables


def test_no_part_writes_a_setting_by_hand() -> None:
    """A setting that is renamed would be asked for by its old name."""
    writing = {
        str(path.relative_to(APP))
        for path in APP.rglob("*.py")
        if not (path.name in MAY_WRITE or path.parent.name == "commands")
        and PREFIX in path.read_text()
    }
    assert not writing
