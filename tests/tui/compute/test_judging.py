"""`focus judge`: the same report from any format, and one message with exit code 2 for each bad input."""

import json
import re

import h5py
import numpy as np
import pytest

SIMULATIONS, EACH = 8, 3
DRAW = np.random.default_rng(0)
ROWS = np.round(DRAW.uniform((0.1, 0.6), (0.5, 1.0), (SIMULATIONS, 2)), 5)
PARAMS = np.repeat(ROWS, EACH, axis=0)
REAL, GENERATED = DRAW.lognormal(25, 0.5, (2, SIMULATIONS * EACH, 16, 16)).astype(np.float32)
NAMES = ["Omega_m", "sigma_8"]


@pytest.fixture
def files(tmp_path):
    """Write both sides as .npz; return a function that writes the generated side otherwise."""

    def write(name="generated.npz", **changes):
        content = {"maps": GENERATED, "params": PARAMS, "param_names": NAMES, "box_size": 25.0, "sampler": "ddim"}
        content = {key: value for key, value in (content | changes).items() if value is not None}
        np.savez(tmp_path / name, **content)
        return name

    write("real.npz", maps=REAL, sampler=None)
    write()
    return write


def judged(focus, *arguments):
    code, said, warned = focus("judge", *arguments, "--json")
    assert code == 0, warned
    return json.loads(said)


@pytest.mark.usefixtures("files")
def test_the_document_and_the_page_say_the_same(focus, tmp_path):
    document = judged(focus, "generated.npz", "--against", "real.npz", "-o", "report.html")
    assert {"power_spectrum", "pdf", "slab_mean", "scores", "verdict", "generated", "real", "notes"} <= set(document)
    assert set(document["verdict"]) == {"text", "p_value", "deciding_score"}
    names = {"name", "statistic", "band", "value", "error", "null", "null_spread", "p_value", "verdict"}
    assert all(set(score) == names for score in document["scores"])
    assert (document["n_points"], document["real"]["n_simulations"]) == (SIMULATIONS, SIMULATIONS)
    assert document["generated"] | {"sampler": "ddim", "n_simulations": None} == document["generated"]
    page = (tmp_path / "report.html").read_text()
    values = [float(one) for one in re.findall(r'data-label="value"><data value="([^"]+)"', page)]
    assert values == [score["value"] for score in document["scores"] if score["value"] is not None]


def test_every_format_and_order_gives_the_same_scores(focus, files, tmp_path):
    import zarr

    expected = judged(focus, "generated.npz", "--against", "real.npz")["scores"]
    np.save(tmp_path / "real.npy", REAL[:, None].astype(">f8"))
    np.savetxt(tmp_path / "rows.txt", ROWS)
    with h5py.File(tmp_path / "generated.h5", "w") as file:
        file["maps"], file["params"] = GENERATED, PARAMS
    given = ("--against", "real.npy", "--against-params", "rows.txt", "--maps-per-simulation", EACH, "--box-size", 25)
    assert judged(focus, "generated.h5", *given)["scores"] == expected
    order = DRAW.permutation(len(GENERATED))
    files("shuffled.npz", maps=GENERATED[order], params=PARAMS[order])
    store = zarr.open_group(str(tmp_path / "real.zarr"), mode="w")
    for name, values in (("maps", REAL), ("params", PARAMS)):
        store.create_array(name, data=values)
    store.attrs["box_size"] = 25.0
    shuffled = judged(focus, "shuffled.npz", "--against", "real.zarr")["scores"]
    for one, other in zip(shuffled, expected, strict=True):
        assert one["value"] == pytest.approx(other["value"], rel=1e-6)


def test_sides_may_have_other_numbers_of_maps(focus, files):
    files("few.npz", maps=GENERATED[::2], params=PARAMS[::2])
    document = judged(focus, "few.npz", "--against", "real.npz")
    assert (document["n_generated"], document["n_maps"]) == (12, 24)
    files("half.npz", maps=GENERATED[:12], params=PARAMS[:12])
    document = judged(focus, "half.npz", "--against", "real.npz", "--common")
    assert (document["n_generated"], document["n_maps"], document["n_points"]) == (12, 12, 4)
    assert any("left out" in note for note in document["notes"])


@pytest.mark.usefixtures("files")
def test_the_terminal_shows_scores_and_latex_a_table(focus, tmp_path):
    code, said, _ = focus("judge", "generated.npz", "--against", "real.npz", "-o", "report.png")
    assert code == 0
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert "verdict: " in said
    code, said, _ = focus("judge", "generated.npz", "--against", "real.npz", "--latex")
    assert code == 0
    assert r"\toprule" in said


def test_each_score_of_several_fields_has_a_p_value_and_fits_on_80_columns(focus, files, tmp_path):
    for name, maps in (("two.npz", GENERATED), ("real_two.npz", REAL)):
        files(name, maps=np.stack([maps, maps**0.7], axis=1), fields=["Mcdm", "HI"])
    code, said, _ = focus("judge", "two.npz", "--against", "real_two.npz", "-o", "report.json")
    assert code == 0
    scores = json.loads((tmp_path / "report.json").read_text())["scores"]
    assert {score["field"] for score in scores} == {"Mcdm", "HI", "Mcdm x HI"}
    assert [score["p_value"] is None for score in scores] == [score["null"] is None for score in scores]
    assert any(score["p_value"] is not None for score in scores if score["field"] == "Mcdm x HI")
    table = said[said.index("verdict: ") :].splitlines()
    assert max(map(len, table)) <= 80
    assert [line for line in table if line in {"Mcdm", "HI", "Mcdm x HI"}] == ["Mcdm", "HI", "Mcdm x HI"]


def spoilt(change):
    maps = GENERATED.copy()
    maps[5] = change(maps[5])
    return {"maps": maps}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"params": PARAMS + 0.01}, "share no parameter point"),
        ({"params": PARAMS[:, ::-1], "param_names": NAMES[::-1]}, "same columns"),
        ({"params": None}, "--params FILE"),
        ({"box_size": 50.0}, "box of 50 Mpc/h"),
        ({"maps": GENERATED[:, ::2, ::2]}, "8 × 8 pixels"),
        ({"maps": np.stack([GENERATED] * 2, axis=1)}, "2 channel(s)"),
        ({"maps": GENERATED[:12], "params": PARAMS[:12]}, "--common"),
        (spoilt(lambda one: np.full_like(one, 1.0)), "map 5 is constant"),
        (spoilt(lambda one: one * np.nan), "map 5 has 256 NaN"),
        (spoilt(lambda one: one - one.mean()), "negative"),
        ({"maps": np.log10(GENERATED)}, "log10"),
        ({"maps": np.array([{}] * 24)}, "pickled"),
        ({"maps": None}, "no array named maps"),
        ({"simulation": np.arange(24) // 4}, "must share their parameters"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(focus, files, tmp_path, changes, words):
    files(**changes)
    code, said, warned = focus("judge", "generated.npz", "--against", "real.npz", "-o", "report.json")
    assert (code, said) == (2, "")
    lines = [line for line in warned.splitlines() if line.startswith("error")] or warned.splitlines()[-1:]
    assert len(lines) == 1
    assert words in lines[0]
    assert "Traceback" not in warned
    assert not (tmp_path / "report.json").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--maps-per-simulation", "0"], "--maps-per-simulation 0"),
        (["--box-size", "-1"], "--box-size -1"),
        (["--seed", "-1"], "--seed -1"),
        (["-o", "report.txt"], ".html, .png, .pdf, .json"),
        (["--latex", "--json"], "--latex and --json"),
        (["--params", "none.txt"], "--params none.txt: no such file"),
        (["--training", "none.npy"], "--training none.npy: no such file"),
    ],
)
def test_arguments_are_checked_before_files_are_opened(focus, tmp_path, given, words):
    for name in ("generated.npz", "real.npz"):
        (tmp_path / name).write_bytes(b"no archive")
    code, _, warned = focus("judge", "generated.npz", "--against", "real.npz", *given)
    assert code == 2
    assert words in warned


@pytest.mark.usefixtures("files")
def test_truncated_files_are_refused(focus, tmp_path):
    content = (tmp_path / "real.npz").read_bytes()
    (tmp_path / "real.npz").write_bytes(content[: len(content) // 2])
    code, _, warned = focus("judge", "generated.npz", "--against", "real.npz")
    assert code == 2
    assert "real.npz: not a whole file" in warned


def test_simulations_that_cannot_be_told_are_said(focus, files):
    one = np.tile(ROWS[0], (24, 1))
    files("one.npz", params=one)
    files("truth.npz", maps=REAL, params=one)
    document = judged(focus, "one.npz", "--against", "truth.npz")
    assert any("can't be told" in note for note in document["notes"])
    assert document["verdict"]["p_value"] is None
