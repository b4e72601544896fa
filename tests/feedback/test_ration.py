"""More rows than a night has hours for."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from strop.feedback.ration import Budget, rationed
from strop.feedback.rows import Merit, Row, Rows

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def row(name: str, *more: str) -> Row:
    said = [{"role": "assistant", "content": name}]
    return {"prompt": [{"role": "user", "content": name}], "completion": said, "signals": [name, *more]}


def pair(name: str, *more: str) -> Row:
    said = [{"role": "assistant", "content": name}]
    return {"prompt": said, "chosen": said, "rejected": said, "signals": [name, *more]}


def merit(days: float = 0, *, cluster: str = "", domain: str = "", corrected: bool = False) -> Merit:
    return Merit(cluster or f"of {days}", domain, NOW - timedelta(days=days), corrected)


def budget(seconds: float, half_life_days: float = 30.0) -> Budget:
    return Budget(seconds, lambda method, row: 1.0, half_life_days)


def kept(rows: Rows, seconds: float, *methods: str, **more: Any) -> list[str]:
    found = rationed(rows, methods or ("sft",), budget(seconds, **more))
    return [one["signals"][0] for one in found.sft]


def test_what_fits_is_left_as_it_is() -> None:
    rows = Rows((row("a"),), (), (), merits={"a": merit()})
    assert rationed(rows, ["sft"], budget(1.0)) is rows


def test_corrections_come_first_however_old() -> None:
    rows = Rows(
        tuple(row(name) for name in "abc"),
        (),
        (),
        merits={"a": merit(0), "b": merit(400, corrected=True), "c": merit(1)},
    )
    assert kept(rows, 1) == ["b"]
    assert kept(rows, 2) == ["a", "b"]


def test_the_recent_comes_before_the_old() -> None:
    names = [f"{days:03}" for days in range(100)]
    rows = Rows(tuple(map(row, names)), (), (), merits={name: merit(int(name)) for name in names})
    assert kept(rows, 10) == names[:10]


def test_every_domain_has_its_turn_however_many_rows_it_has() -> None:
    merits = {f"many{n}": merit(n / 10, domain="law") for n in range(50)}
    merits |= {f"few{n}": merit(20 + n, domain="garden") for n in range(5)}
    rows = Rows(tuple(map(row, merits)), (), (), merits=merits)
    found = kept(rows, 10)
    assert sum(name.startswith("few") for name in found) == 5


def test_one_cluster_does_not_fill_the_night() -> None:
    merits = {f"same{n}": merit(n / 100, cluster="same") for n in range(50)}
    merits |= {f"other{n}": merit(5 + n, cluster=f"other{n}") for n in range(5)}
    rows = Rows(tuple(map(row, merits)), (), (), merits=merits)
    assert sum(name.startswith("other") for name in kept(rows, 7)) == 5


def test_the_half_life_weighs_age_against_variety() -> None:
    """The second word of a recent cluster is worth a half: as much as a lone word of one half-life ago."""
    merits = {"new1": merit(0, cluster="c"), "new2": merit(0, cluster="c"), "old": merit(20, cluster="d")}
    rows = Rows(tuple(map(row, merits)), (), (), merits=merits)
    assert kept(rows, 2, half_life_days=30.0) == ["new1", "old"] or kept(rows, 2, half_life_days=30.0) == [
        "new2",
        "old",
    ]
    assert sorted(kept(rows, 2, half_life_days=10.0)) == ["new1", "new2"]


def test_an_answer_and_its_pair_train_together() -> None:
    merits = {"a": merit(0, corrected=True), "b": merit(1, corrected=True)}
    rows = Rows((row("a"), row("b")), (pair("a"), pair("b")), (), merits=merits)
    found = rationed(rows, ["sft", "dpo"], budget(3.0))
    assert [one["signals"] for one in (*found.sft, *found.dpo)] == [["a"], ["a"]]


def test_what_is_left_out_is_counted_and_said() -> None:
    rows = Rows(tuple(row(str(n)) for n in range(7200)), (), (), merits={}, excluded={"capped": 2})
    found = rationed(rows, ["sft"], budget(3600.0))
    assert found.excluded == {"capped": 2, "no_time": 3600}
    assert found.warnings == (
        "3600 of 7200 rows are left for another night: all would take 2.0 hours, and there are 1.0 hours; corrections "
        "come first, then what is recent.",
    )


def test_methods_that_do_not_train_tonight_are_not_touched() -> None:
    rows = Rows(tuple(row(str(n)) for n in range(10)), (), (), kto=tuple(row(f"k{n}") for n in range(10)))
    found = rationed(rows, ["sft"], budget(4.0))
    assert (len(found.sft), len(found.kto)) == (4, 10)


def test_standing_rows_come_after_what_people_said() -> None:
    merits = {f"w{n}": merit(n) for n in range(5)}
    standing = [row(f"standing:set:{n}") for n in range(5)]
    rows = Rows((*map(row, merits), *standing), (), (), merits=merits, standing=5)
    found = rationed(rows, ["sft"], budget(7.0))
    assert [one["signals"][0] for one in found.sft[:5]] == list(merits)
    assert (len(found.sft), found.standing) == (7, 2)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_in_which_rows_come_decides_nothing(seed: int) -> None:
    merits = {f"r{n}": merit(n % 7, domain="ab"[n % 2], cluster=f"c{n % 5}", corrected=n % 3 == 0) for n in range(60)}
    names = list(merits)
    first = kept(Rows(tuple(map(row, names)), (), (), merits=merits), 20)
    random.Random(seed).shuffle(names)
    assert sorted(kept(Rows(tuple(map(row, names)), (), (), merits=merits), 20)) == sorted(first)


@pytest.mark.parametrize(
    ("domains", "found"),
    [
        (["law"] * 5, "law"),
        (["law"] * 4 + ["garden"], "law"),
        (["law"] * 3 + ["garden"] * 2, ""),
        (["general"] * 5, ""),  # what nobody gave a domain is not about one
        (["law"] + ["general"] * 4, ""),
        ([], ""),
    ],
)
def test_rows_are_about_one_domain_where_somebody_said_so(domains: list[str], found: str) -> None:
    merits = {f"r{n}": merit(n, domain=domain) for n, domain in enumerate(domains)}
    assert Rows(tuple(map(row, merits)), (), (), merits=merits).domain == found
