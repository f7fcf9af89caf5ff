"""Settings: a wrong key is reported with its line and alone keeps its default; saving keeps the rest of the file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from focus_engine.errors import FocusError, InputError
from focus_tui.dashboard.settings import Settings, load_settings, save_setting, settings_path

WHOLE = """\
# my settings
theme: nord
colormap: viridis     # for the printer
columns:
  - state
  - name   # of course
  - best
sort: -best
filters:
  good: pk<=5% -state:lost
  mine: "name~vp"
refresh: 1
images: blocks
smoothing: 0.6
log_y: yes
keys:
  stop: [x, ctrl+x]
  quit: q
"""
MEANT = Settings(
    theme="nord",
    colormap="viridis",
    columns=("state", "name", "best"),
    sort="-best",
    filters={"good": "pk<=5% -state:lost", "mine": "name~vp"},
    refresh=1.0,
    images="blocks",
    smoothing=0.6,
    log_y=True,
    keys={"stop": ("x", "ctrl+x"), "quit": ("q",)},
)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "focus" / "tui.yaml"


@pytest.fixture
def written(file):
    def write(text):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    return write


def test_no_file_is_all_defaults(file):
    loaded = load_settings(file)
    assert (loaded.settings, loaded.warnings, loaded.path) == (Settings(), (), file)
    assert not file.parent.exists()


def test_every_key_is_read(written):
    loaded = load_settings(written(WHOLE))
    assert (loaded.settings, loaded.warnings) == (MEANT, ())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("them: nord", "unknown key 'them'; did you mean 'theme'?"),
        ("theme: 3", "theme: 3 is not allowed; allowed: focus-dark, nord"),
        ("theme: [a]", "is not allowed"),
        ("theme: nrd", "did you mean 'nord'?"),
        ("colormap: jet", 'colormap: "jet" is not allowed; allowed: magma, viridis, inferno'),
        ("colormap: {}", "is not allowed"),
        ("columns: [state, bst]", "unknown column 'bst'; did you mean 'best'?"),
        ("columns: []", "no column is named"),
        ("columns: 3", "not a list of words"),
        ("sort: -bst", "unknown column 'bst'"),
        ("refresh: fast", '"fast" is not a number from 0.1 to 10'),
        ("refresh: 0", "0 is not a number from 0.1 to 10"),
        ("refresh: .nan", "is not a number from 0.1 to 10"),
        ("refresh: true", "true is not a number"),
        ("images: png", "allowed: auto, blocks"),
        ("smoothing: 1", "is not a number from 0 to 0.99"),
        ("log_y: 3", "3 is not true or false"),
        ("filters: [a]", "is not a block of names and values"),
        ("keys: x", "is not a block of names and values"),
    ],
)
def test_a_broken_key_keeps_its_default_and_is_named_with_its_line(written, line, said):
    key = line.partition(":")[0]
    other = "smoothing: 0.5" if key != "smoothing" else "refresh: 0.5"
    path = written(f"# mine\n{other}\n{line}\n")
    loaded = load_settings(path, themes=("focus-dark", "nord"))
    assert loaded.settings == load_settings(written(f"{other}\n")).settings
    assert len(loaded.warnings) == 1
    assert loaded.warnings[0].startswith(f"{path}:3: ")
    assert said in loaded.warnings[0]
    assert loaded.warnings[0].endswith(("it keeps its default", "it is left out"))


def test_without_a_list_of_themes_any_is_taken(written):
    assert load_settings(written("theme: dracula\n")).settings.theme == "dracula"
    assert "theme: 3 is not text" in load_settings(written("theme: 3\n")).warnings[0]


def test_a_wrong_entry_of_a_block_is_left_out_alone(written):
    path = written("filters:\n  good: state:lost\n  bad: stat:lost\nkeys:\n  quit: Q\n  stp: x\n  stop: [1]\n")
    loaded = load_settings(path, actions=("quit", "stop"))
    assert loaded.settings == Settings(filters={"good": "state:lost"}, keys={"quit": ("Q",)})
    places = [warning.partition(": ")[0] for warning in loaded.warnings]
    assert places == [f"{path}:{line}" for line in (3, 6, 7)]
    assert "filters.bad: filter: 'stat' (character 1): unknown field; did you mean 'state'?" in loaded.warnings[0]
    assert "keys.stp: \"stp\" is not allowed; did you mean 'stop'?" in loaded.warnings[1]


@pytest.mark.parametrize(
    "content",
    [b"theme: [", b"\xff\xfe", b"- a\n", b"theme: a\ntheme: b\n", b"a: !!python/name:os.system x\n", b"[" * 5000],
)
def test_a_file_that_cannot_be_read_is_one_warning(file, content):
    file.parent.mkdir()
    file.write_bytes(content)
    loaded = load_settings(file)
    assert loaded.settings == Settings()
    assert len(loaded.warnings) == 1
    assert loaded.warnings[0].startswith(str(file))
    assert loaded.warnings[0].endswith("all settings keep their defaults")


def test_a_folder_in_its_place_is_one_warning(file):
    file.mkdir(parents=True)
    assert "cannot be read" in load_settings(file).warnings[0]


@given(st.text(alphabet="theme:colrsfiky \n-[]{}#&*!'\"1", max_size=60))
@hypothesis_settings(max_examples=100, deadline=None)
def test_any_content_loads(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8")
    assert isinstance(load_settings(path).settings, Settings)


def test_where_the_file_is(monkeypatch, tmp_path):
    monkeypatch.delenv("FOCUS_TUI_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    at_home = tmp_path / "home" / ".config" / "focus" / "tui.yaml"
    assert settings_path() == at_home
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")  # the XDG standard: ignore relative paths
    assert settings_path() == at_home
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert settings_path() == tmp_path / "xdg" / "focus" / "tui.yaml"
    monkeypatch.setenv("FOCUS_TUI_CONFIG", str(tmp_path / "mine.yaml"))
    assert load_settings().path == tmp_path / "mine.yaml"


CHANGES = [
    ("theme", "gruvbox"),
    ("columns", ("state", "name", "pk")),
    ("sort", "age"),
    ("filters.mine", "lr>=1e-4"),
    ("filters.new one: a.b", 'name~"a b" # x'),
    ("filters", {"only": "state:lost"}),
    ("refresh", 0.5),
    ("log_y", False),
    ("keys.stop", ("X",)),
    ("filters.mine", None),
    ("theme", None),
]


def changed(settings, key, value):
    """Return `settings` after a change, computed independently of the code under test."""
    block, _, name = key.partition(".")
    if not name:
        new = getattr(Settings(), key) if value is None else value
    else:
        held = {one: kept for one, kept in getattr(settings, block).items() if one != name}
        new = held if value is None else {**held, name: value}
    return Settings(**{**{field: getattr(settings, field) for field in Settings.__dataclass_fields__}, block: new})


@pytest.mark.parametrize(("key", "value"), CHANGES)
@pytest.mark.parametrize("text", [None, "", "# mine\n", WHOLE, "filters: {mine: lost}\nkeys:\n", "theme: a # b"])
def test_what_is_saved_is_read_and_the_rest_stays(file, written, text, key, value):
    if text is not None:
        written(text)
    before = load_settings(file).settings
    save_setting(key, value, file)
    after = load_settings(file)
    assert (after.settings, after.warnings) == (changed(before, key, value), ())
    if text == WHOLE:
        assert "# my settings" in file.read_text(encoding="utf-8")
        assert "colormap: viridis     # for the printer" in file.read_text(encoding="utf-8")


def test_many_changes_one_after_another(file):
    meant = Settings()
    for key, value in CHANGES:
        save_setting(key, value, file)
        meant = changed(meant, key, value)
        assert load_settings(file).settings == meant


def test_a_shape_that_cannot_be_edited_is_written_anew(written):
    file = written("filters: &all\n  a: state:lost\nkeys: {}\nsort: name\n")
    text = "filters: !!map {a: x}\n? theme\n: nord\n"
    save_setting("theme", "dark", written(text))
    assert load_settings(file).settings == Settings(theme="dark", filters={"a": "x"})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("them", "a", "unknown setting 'them'; did you mean 'theme'?"),
        ("theme.x", "a", "unknown setting 'theme.x'"),
        ("refresh", 100, "is not a number from 0.1 to 10"),
        ("filters.a", "stat:x", "unknown field"),
        ("columns", (), "no column is named"),
    ],
)
def test_a_wrong_value_is_refused_and_nothing_written(file, key, value, said):
    with pytest.raises(InputError, match=said.replace("?", r"\?")):
        save_setting(key, value, file)
    assert not file.parent.exists()


@pytest.mark.parametrize("content", [b"theme: [", b"\xff"])
def test_a_file_that_is_no_yaml_is_left_alone(file, content):
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"tui\.yaml"):
        save_setting("theme", "nord", file)
    assert file.read_bytes() == content


def test_a_link_into_dotfiles_stays_a_link(tmp_path, written):
    file = written("theme: a\n")
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    save_setting("theme", "b", link)
    assert link.is_symlink()
    assert file.read_text() == "theme: b\n"


def test_a_write_error_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FocusError, match="cannot be written"):
        save_setting("theme", "a", Path(tmp_path / "file" / "tui.yaml"))
