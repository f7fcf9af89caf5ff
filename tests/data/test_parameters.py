from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from focus_engine.config.blocks.data import PARAMETER_NAMES
from focus_engine.data.parameters import check_parameter_order, read_parameter_table, select_parameters
from focus_engine.data.summary import guess_layout
from focus_engine.errors import InputError


@pytest.fixture
def latin_hypercube(camels: Path) -> np.ndarray:
    return read_parameter_table(camels / "CosmoAstroSeed_IllustrisTNG_L25n256_LH.txt")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "params.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_real_tables_lose_their_names_and_seeds(camels: Path, latin_hypercube: np.ndarray):
    assert latin_hypercube.shape == (1000, 6)
    assert latin_hypercube[0].tolist() == [0.309, 0.979, 3.11234, 1.12194, 0.6685, 0.53182]
    fiducial = read_parameter_table(camels / "CosmoAstroSeed_IllustrisTNG_L25n256_CV.txt")
    assert fiducial.shape == (27, 6)
    assert np.all(fiducial == [0.3, 0.8, 1, 1, 1, 1])


@pytest.mark.parametrize(
    "header", ["", "# Omega_b h\n", "Omega_b h\n", "\n# one\n# two\n\n", "omega_b,h\n", "\ufeff# utf-8 with a mark\n"]
)
@pytest.mark.parametrize("separator", [" ", "\t", ", "])
def test_headers_are_skipped_and_never_believed(tmp_path: Path, header: str, separator: str):
    path = write(tmp_path, header + "\n".join(separator.join(row) for row in [("0.2", "0.7"), ("0.4", "0.9")]))
    assert read_parameter_table(path).tolist() == [[0.2, 0.7], [0.4, 0.9]]


def test_names_and_seeds_go_whatever_they_are(tmp_path: Path):
    assert read_parameter_table(write(tmp_path, "u0 0.2 0.7 17\nu1 0.3 0.8 18\n")).tolist() == [[0.2, 0.7], [0.3, 0.8]]
    assert read_parameter_table(write(tmp_path, "0.2 0.7 1 1 1 1 5\n0.3 0.8 1 1 1 1 6\n")).shape == (2, 6)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no parameters"),
        ("# only a header\n", "no parameters"),
        ("0.2 0.7\n0.3\n", "line 2: has 1 columns where line 1 has 2"),
        ("0.2 0.7\n0.3 x\n", "line 2: 'x' is not a finite number"),
        ("0.2 0.7\n0.3 nan\n", "line 2: 'nan'"),
        ("0.2 0.7\n0.3 inf\n", "line 2: 'inf'"),
        ("0.2 0.7 1 1 1 1 0.5\n", "7 parameter columns; allowed are 1 to 6"),
        ("a\nb\n", "parameter columns|no parameters"),
    ],
)
def test_a_damaged_table_is_refused_by_line(tmp_path: Path, text: str, says: str):
    with pytest.raises(InputError, match=says) as refusal:
        read_parameter_table(write(tmp_path, text))
    assert "params.txt" in str(refusal.value)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no such parameter file"):
        read_parameter_table(tmp_path / "missing.txt")
    with pytest.raises(InputError, match="can't be read"):
        read_parameter_table(tmp_path)
    binary = tmp_path / "maps.npy"
    np.save(binary, np.full((2, 2, 2), 1e11))
    with pytest.raises(InputError, match="not a text file"):
        read_parameter_table(binary)
    with binary.open("r+b") as file:
        file.truncate(2**32)
    with pytest.raises(InputError, match="4096 MiB"):
        read_parameter_table(binary)


def extended_rows(camels: Path) -> list[str]:
    return (camels / "CosmoAstroSeed_IllustrisTNG_L25n256_1P.txt").read_text(encoding="utf-8").splitlines()


def test_the_first_six_of_the_extended_1p_table_are_read_in_the_usual_units(tmp_path: Path, camels: Path):
    """p3, p5 and p6 are settings of the code there (3.6, 7.4 and 20 at the fiducial point)."""
    table = read_parameter_table(write(tmp_path, "\n".join(extended_rows(camels)[:31])))  # the header, p1 to p6
    assert table.shape == (30, 6)
    assert np.ptp(table, axis=0) == pytest.approx([0.4, 0.4, 3.75, 3.75, 1.5, 1.5])
    moved = table != [0.3, 0.8, 1, 1, 1, 1]
    assert moved.sum(axis=1).tolist() == [1, 1, 0, 1, 1] * 6
    for column in range(6):
        assert np.flatnonzero(moved[:, column]).tolist() == [5 * column + step for step in (0, 1, 3, 4)]
    np.testing.assert_allclose(table[20:25, 4], 2.0 ** np.array([-1, -0.5, 0, 0.5, 1]), atol=1e-3)
    assert guess_layout(table).startswith("1P")


def test_a_row_that_varies_another_parameter_is_refused_by_name(tmp_path: Path, camels: Path):
    with pytest.raises(InputError, match=r"1P_p7_n2 varies parameter 7 of 28 \(0.029, elsewhere 0.049\).* the 52 rows"):
        read_parameter_table(camels / "CosmoAstroSeed_IllustrisTNG_L25n256_1P.txt")
    without_names = [row.split(None, 1)[1] for row in extended_rows(camels)[1:]]
    with pytest.raises(InputError, match="simulation in line 31 varies"):
        read_parameter_table(write(tmp_path, "\n".join(without_names)))


def test_an_extended_table_in_usual_units_is_left_as_it_is(tmp_path: Path, latin_hypercube: np.ndarray):
    rows = np.column_stack([latin_hypercube[:20], np.ones((20, 22))])
    np.savetxt(tmp_path / "params.txt", rows, fmt="%.5f")
    np.testing.assert_array_equal(read_parameter_table(tmp_path / "params.txt"), latin_hypercube[:20])


def test_every_distinguishable_order_is_refused_with_the_one_that_fits(latin_hypercube: np.ndarray):
    table = latin_hypercube[:200]  # columns 3, 4 and 5, 6 have the same ranges: 4 of 720 orders can't be told apart
    accepted = 0
    for order in permutations(range(6)):
        shuffled = table[:, order]
        try:
            check_parameter_order(shuffled, where="table")
        except InputError as refusal:
            listed = str(refusal).split("would fit: columns ")[1].split(" of this file")[0]
            mended = shuffled[:, [int(column) - 1 for column in listed.split(",")]]
            check_parameter_order(mended, where="mended")
        else:
            accepted += 1
    assert accepted == 4


def test_the_message_names_what_each_column_holds(latin_hypercube: np.ndarray):
    with pytest.raises(InputError, match="it holds Omega_m, sigma_8, A_SN1, A_SN2, A_AGN1, A_AGN2"):
        check_parameter_order(latin_hypercube[:, [0, 1, 2, 4, 3, 5]], where="table")
    with pytest.raises(InputError, match="columns 2, 1 of this file"):
        check_parameter_order(latin_hypercube[:, [1, 0]], where="table")


def test_sets_of_another_making(latin_hypercube: np.ndarray):
    fiducial = np.tile([0.3, 0.8, 1, 1, 1, 1], (4, 1))
    check_parameter_order(fiducial * [1, 1, 0, 0, 0, 0], where="N-body with feedback 0")
    extreme = fiducial.copy()
    extreme[1, 3], extreme[2, 2], extreme[3, 2:] = 100, 100, 0
    check_parameter_order(extreme, where="EX")
    astrid = latin_hypercube[:, [0, 1, 2, 3, 4, 2]]
    check_parameter_order(astrid, where="ASTRID spans 0.25–4 in column 6")
    check_parameter_order(np.array([[0.05, 0.4], [0.9, 1.3]]), where="a wide N-body set")


@pytest.mark.parametrize(
    "table",
    [
        np.random.default_rng(0).uniform(0, 1, (50, 6)),
        np.random.default_rng(0).normal(0, 1, (50, 6)),
        np.array([[0.3, 0.8, 7.0, 1, 1, 1], [0.2, 0.8, 0.1, 1, 1, 1]]),
        np.array([[67.0, 0.8]]),
    ],
    ids=["min-max", "standardised", "too wide", "hubble"],
)
def test_a_table_that_fits_no_order_is_refused(table: np.ndarray):
    with pytest.raises(InputError, match="normalised ones"):
        check_parameter_order(table, where="table")


def test_selection_by_name_and_by_count(latin_hypercube: np.ndarray):
    table = latin_hypercube[:5]
    assert select_parameters(table, None, None, where="t")[1] == PARAMETER_NAMES
    assert select_parameters(table, None, 2, where="t")[1] == ("Omega_m", "sigma_8")
    values, names = select_parameters(table, ["A_SN1", "Omega_m"], 2, where="t")
    assert names == ("A_SN1", "Omega_m")
    assert np.array_equal(values, table[:, [2, 0]])
    assert select_parameters(table, None, 0, where="t")[0].shape == (5, 0)


@pytest.mark.parametrize(
    ("names", "cond_dim", "says"),
    [
        (None, 3, "cond_dim is 3 but t holds 2 parameters"),
        (["A_SN1"], 1, "'A_SN1' is not in t, which holds Omega_m, sigma_8"),
        (["Omega_b"], 1, "'Omega_b' is not in t"),
        (["Omega_m", "Omega_m"], 2, "a name is repeated"),
        (["Omega_m"], 2, "names 1 parameters .*cond_dim is 2"),
    ],
)
def test_names_and_count_must_agree(latin_hypercube: np.ndarray, names: list[str] | None, cond_dim: int, says: str):
    with pytest.raises(InputError, match=says):
        select_parameters(latin_hypercube[:, :2], names, cond_dim, where="t")
