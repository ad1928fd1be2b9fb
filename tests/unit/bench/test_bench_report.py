"""From rounds to medians and ratios."""

from __future__ import annotations

from bench.report import Report, ratios, shown, summary

PLACE = ("everysec", "submit")


def test_a_ratio_is_taken_within_a_round() -> None:
    """The median of the ratios, not the ratio of the medians: a slow round is slow for both."""
    report = Report(["base", "tree"], 3)
    for number, (base, tree) in enumerate(((100.0, 200.0), (10.0, 30.0), (1000.0, 1000.0))):
        report.add(PLACE, "base", number, {"unary_per_s": base})
        report.add(PLACE, "tree", number, {"unary_per_s": tree})

    assert {
        "base": {"rounds": [100, 10, 1000], "median": 100},
        "tree": {"rounds": [200, 30, 1000], "median": 200},
        "ratio": {"rounds": [2, 3, 1], "median": 2},
    } == report.figures()["everysec"]["submit"]["unary_per_s"]


def test_what_a_revision_cannot_do_is_null_with_its_reason() -> None:
    """The other revision's figure stays."""
    report = Report(["base", "tree"], 1)
    report.add(PLACE, "tree", 0, {"batch_per_s": 5000.0})
    report.add_missing(PLACE, "base", {"batch_per_s": "UNIMPLEMENTED: not there yet"})

    assert {
        "base": {"rounds": [None], "median": None, "why": "UNIMPLEMENTED: not there yet"},
        "tree": {"rounds": [5000], "median": 5000},
        "ratio": {"rounds": [None], "median": None},
    } == report.figures()["everysec"]["submit"]["batch_per_s"]


def test_a_round_that_failed_is_left_out_of_the_median() -> None:
    """It stays null in its place."""
    assert {"rounds": [1, None, 3], "median": 2} == summary([1.0, None, 3.0])
    assert [None, None, 2.0] == ratios([1.0, None, 4.0], [0.0, 2.0, 2.0])


def test_the_table_has_medians_and_no_costs() -> None:
    """One line a figure, below its group."""
    report = Report(["tree"], 1)
    report.add(PLACE, "tree", 0, {"unary_per_s": 1234.4, "unary_cost.redis_us": 12.0})

    title, line = report.table()
    assert ["submit,", "everysec", "tree"] == title.split()
    assert ["unary_per_s", "1,234"] == line.split()


def test_a_number_for_people() -> None:
    """Three digits, or the whole part."""
    assert ("-", "0.667", "12.3", "45,679") == (shown(None), shown(2 / 3), shown(12.3456), shown(45678.9))
