from focus_tui.charts.sparkline import sparkline


def test_a_fall_by_equal_factors_is_a_straight_stair():
    assert sparkline([128.0 / 2**i for i in range(8)], 8) == "█▇▆▅▄▃▂▁"


def test_a_long_series_is_shown_whole():
    values = [10.0] * 500 + [1.0] * 500
    assert sparkline(values, 4) == "██▁▁"
    assert sparkline(values, 1000) == "█" * 500 + "▁" * 500


def test_short_series_take_no_more_room_than_they_have_values():
    assert sparkline([2.0, 1.0], 8) == "█▁"
    assert sparkline([], 8) == ""
    assert sparkline([1.0], 0) == ""


def test_what_is_unknown_is_blank():
    assert sparkline([4.0, None, 1.0], 3) == "█ ▁"
    assert sparkline([4.0, float("nan"), 0.0, -1.0, 1.0], 5) == "█   ▁"
    assert sparkline([None, float("inf")], 2) == ""


def test_a_constant_stays_low():
    assert sparkline([3.0] * 5, 5) == "▁▁▁▁▁"
