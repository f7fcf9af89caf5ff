import numpy as np
import pytest

from focus_tui.charts.ticks import integer_ticks, linear_ticks, log_ticks, number


@pytest.mark.parametrize(
    ("low", "high", "most", "labels"),
    [
        (np.log10(0.3), np.log10(32), 8, ["0.5", "1", "2", "5", "10", "20"]),
        (np.log10(0.25), np.log10(32), 5, ["0.3", "1", "3", "10", "30"]),
        (-2, 2, 5, ["0.01", "0.1", "1", "10", "100"]),
        (9.2, 13.1, 5, ["10¹⁰", "10¹¹", "10¹²", "10¹³"]),
        (-5.6, -4, 6, ["5×10⁻⁶", "10⁻⁵", "2×10⁻⁵", "5×10⁻⁵", "10⁻⁴"]),
        (np.log10(0.41), np.log10(0.46), 4, ["0.42", "0.44", "0.46"]),
    ],
)
def test_log_ticks_say_what_physicists_write(low, high, most, labels):
    positions, words = log_ticks(low, high, most)
    assert words == labels
    assert len(positions) == len(words)
    assert all(low - 1e-9 <= p <= high + 1e-9 for p in positions)


@pytest.mark.parametrize(
    ("low", "high", "most", "labels"),
    [
        (0.86, 1.14, 6, ["0.90", "0.95", "1.00", "1.05", "1.10"]),
        (0, 1, 5, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0, 348696, 4, ["0", "100000", "200000", "300000"]),
        (-3, 3, 3, ["-2", "0", "2"]),
    ],
)
def test_linear_ticks_are_round(low, high, most, labels):
    assert linear_ticks(low, high, most)[1] == labels


@pytest.mark.parametrize(("low", "high"), [(0.5, 1.5), (0.5, 3.5), (0.5, 200.5), (99.5, 12345.5)])
def test_epochs_are_whole(low, high):
    positions, words = integer_ticks(low, high, 8)
    assert positions
    assert len(positions) <= 10
    assert words == [str(int(p)) for p in positions]


def test_numbers_are_short():
    values = (0, 0.25, 1, 12345, 6.3e10, 1e12, 9.99e-7, 0.000999)
    assert [number(v) for v in values] == [
        "0",
        "0.25",
        "1",
        "12345",
        "6.3×10¹⁰",
        "10¹²",
        "10⁻⁶",
        "10⁻³",
    ]
