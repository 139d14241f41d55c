"""The parts of pages that tell why."""

from __future__ import annotations

from datetime import UTC, datetime

from django.template.loader import render_to_string

from dialer.engine.why import STEPS, Blocker, Funnel, Step

UNTIL = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)


def blockers(*several: Blocker) -> str:
    return render_to_string("why/blockers.html", {"blockers": several})


def funnel(**fields: object) -> str:
    given = {"campaign": 1, "at": UNTIL, "total": 0, "ready": 0, "steps": [], **fields}
    return render_to_string("why/funnel.html", {"funnel": Funnel(**given)})  # type: ignore[arg-type]


def test_a_blocker_shows_its_words_and_when_it_clears_on_both_clocks() -> None:
    shown = blockers(
        Blocker(code="closed", text="The calendar is closed.", clears=True, until=UNTIL, zone="America/New_York")
    )
    assert "The calendar is closed." in shown
    assert 'data-zone="America/New_York"' in shown
    assert '<time datetime="2026-03-02T14:00:00+00:00" data-local' in shown
    assert "Clears by itself" in shown


def test_what_does_not_clear_says_what_to_do_and_no_instant() -> None:
    shown = blockers(Blocker(code="no_route", text="No route takes his number.", remedy="Add a route."))
    assert "Add a route." in shown
    assert "Clears by itself" not in shown
    assert "<time" not in shown


def test_what_is_typed_by_people_is_escaped() -> None:
    assert "<b>" not in blockers(Blocker(code="sticky", text="<b>Anna</b>", remedy="<b>"))


def test_without_a_blocker_it_says_so() -> None:
    assert "Nothing holds it back" in blockers()


def test_the_funnel_shows_every_part_with_its_share() -> None:
    steps = [
        Step(code="ended", count=1200, parts=[("USER_BUSY", 1000), ("NO_ANSWER", 200)]),
        Step(code="wait", count=300, until=UNTIL),
        Step(code="ready", count=34),
    ]
    shown = funnel(total=1534, ready=34, steps=steps, blockers=[Blocker(code="limit", text="At its limit.")])
    for text in ("Ended without success", "1,200", "USER_BUSY", "Waits for the next try", "1,534", "At its limit."):
        assert text in shown
    assert '<progress max="1534" value="300"' in shown
    assert "style=" not in shown


def test_an_empty_list_says_what_to_do() -> None:
    assert "The list is empty" in funnel()


def test_every_part_has_a_name_and_a_tone() -> None:
    for code in STEPS:
        step = Step(code=code, count=1)
        assert step.label
        assert step.tone
