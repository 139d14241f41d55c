"""The editor of calendars in a browser: by mouse, by keyboard, without scripts, in each look."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Open, faults_of

pytestmark = pytest.mark.browser

LOOKS = [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)]


def add(open_page: Open, name: str) -> Page:
    """Open the page of a new calendar of office hours."""
    page = open_page("/calendars/")
    page.get_by_role("link", name="Add a calendar").click()
    # The zone of whoever adds it is proposed.
    expect(page.locator("#id_time_zone")).to_have_value("Europe/Kyiv")
    expect(page.locator("#timeline")).to_contain_text("Europe/Kyiv")
    page.get_by_label("Name", exact=True).first.fill(name)
    return page


def day(page: Page, name: str) -> Locator:
    return page.get_by_role("textbox", name=name)


def drag(page: Page, weekday: int, start: float, end: float, *, to: int | None = None) -> None:
    """Drag on the track of a weekday from one hour to another, or to that of another day."""
    tracks = [page.locator(f'.day[data-weekday="{place}"] .track').bounding_box() for place in (weekday, to or weekday)]
    assert tracks[0]
    assert tracks[1]
    for box, hour, act in ((tracks[0], start, page.mouse.down), (tracks[1], end, page.mouse.up)):
        page.mouse.move(box["x"] + box["width"] * hour / 24, box["y"] + box["height"] / 2, steps=6)
        act()


def test_the_week_is_drawn_by_mouse(open_page: Open) -> None:
    page = add(open_page, "By mouse")
    drag(page, 6, 10, 14.25)
    expect(day(page, "Saturday")).to_have_value("10:00-14:15")
    # The right edge is stretched to the end of the day, the whole is moved, and then to another day.
    drag(page, 6, 14.22, 24)
    expect(day(page, "Saturday")).to_have_value("10:00-24:00")
    drag(page, 6, 10.05, 22)
    expect(day(page, "Saturday")).to_have_value("22:00-24:00")
    drag(page, 6, 23, 12, to=7)
    expect(day(page, "Saturday")).to_have_value("")
    expect(day(page, "Sunday")).to_have_value("11:00-13:00")
    # A range never runs into another.
    drag(page, 1, 17.9, 9.2)
    drag(page, 1, 12, 20)
    expect(day(page, "Monday")).to_have_value(re.compile(r"^09:00-09:15, 12:00-20:00$"))
    # What it comes to is told by the server.
    expect(page.locator("#meaning")).to_contain_text("Mon 09:00–09:15, 12:00–20:00; Tue–Fri 09:00–18:00; Sun")
    page.get_by_role("button", name="Add", exact=True).last.click()
    expect(page.get_by_role("status").filter(has_text="is added")).to_be_visible()
    expect(day(page, "Sunday")).to_have_value("11:00-13:00")


def test_the_week_is_drawn_by_keyboard(open_page: Open) -> None:
    page = add(open_page, "By keyboard")
    page.get_by_role("button", name="Monday 09:00–18:00").focus()
    for key in ("ArrowRight", "Shift+ArrowRight", "Control+ArrowLeft", "Control+ArrowLeft"):
        page.keyboard.press(key)
    expect(page.get_by_role("button", name="Monday 08:45–18:30")).to_be_focused()
    expect(day(page, "Monday")).to_have_value("08:45-18:30")
    # Exact times; an end before the start runs into the next day.
    page.keyboard.press("Delete")
    expect(day(page, "Monday")).to_have_value("")
    page.get_by_role("button", name="Add a range on Sunday").press("Enter")
    page.get_by_role("button", name="Sunday 09:00–18:00").press("Enter")
    page.get_by_label("From", exact=True).fill("22:07")
    page.get_by_label("To", exact=True).fill("25:00")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Write times from 00:00 to 24:00")).to_be_visible()
    page.get_by_label("To", exact=True).fill("06:30")
    page.keyboard.press("Enter")
    expect(day(page, "Sunday")).to_have_value("22:07-24:00")
    expect(day(page, "Monday")).to_have_value("00:00-06:30")
    # Down to another day where there is room; not where there is none.
    page.get_by_role("button", name="Monday 00:00–06:30").press("ArrowDown")
    expect(day(page, "Tuesday")).to_have_value("00:00-06:30, 09:00-18:00")
    page.get_by_role("button", name="Tuesday 00:00–06:30").press("ArrowUp")
    expect(day(page, "Monday")).to_have_value("00:00-06:30")
    # What is typed is drawn.
    day(page, "Saturday").fill("10:05-11:06")
    expect(page.get_by_role("button", name="Saturday 10:05–11:06")).to_be_visible()
    day(page, "Saturday").fill("10:05-99")
    expect(page.locator("#meaning")).to_contain_text("This cannot be read yet:")
    page.on("dialog", lambda dialog: dialog.accept())


def test_presets_holidays_and_what_changes(open_page: Open) -> None:
    page = add(open_page, "With holidays")
    page.get_by_role("button", name="Around the clock").click()
    expect(day(page, "Sunday")).to_have_value("00:00-24:00")
    expect(page.locator("#meaning")).to_contain_text("Every day, around the clock")
    page.get_by_text("Import the public holidays of a country").click()
    page.get_by_role("combobox", name="Country").fill("Germany")
    # The Enter that chooses a country does not look up yet: another list would come when one is ticked already.
    page.keyboard.press("Enter")
    page.get_by_label("To year").fill("2027")
    page.get_by_role("button", name="Look up").click()
    new_year = page.get_by_role("checkbox", name=re.compile("1 Jan 2027 New Year's Day"))
    expect(new_year).to_be_checked()
    new_year.uncheck()
    page.get_by_role("button", name="Take those chosen").click()
    expect(page.locator('[name="days-0-name"]')).to_have_value("Christmas Day")
    expect(page.locator("#special")).not_to_contain_text("New Year's Day is there already")
    page.get_by_role("button", name="Add", exact=True).last.click()
    expect(page.get_by_role("status").filter(has_text="is added")).to_be_visible()

    # The campaigns of the demo run on the calendar of the demo: closing it is told first. Nothing is saved here.
    page.goto("/calendars/")
    page.get_by_role("link", name="Day and night").click()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#meaning")).to_contain_text("This calendar never opens.")
    day(page, page.locator("#week .day label").first.inner_text()).fill("00:00-00:01")
    expect(page.locator("#meaning")).to_contain_text("When it is saved:")
    expect(page.locator("#meaning")).to_contain_text(re.compile(r"2 campaigns (fall asleep|close earlier|open)"))
    page.on("dialog", lambda dialog: dialog.accept())


def test_it_works_without_scripts(open_page: Open) -> None:
    page = open_page("/calendars/new/", java_script_enabled=False)
    page.get_by_label("Name", exact=True).first.fill("Plain")
    page.get_by_label("Time zone").select_option("Asia/Tokyo")
    page.get_by_role("button", name="Every day 8–21").click()
    day(page, "Monday").fill("10:00-11:30, 12:01-24:00")
    page.locator("#new_date").fill("2027-01-01")
    page.locator("#new_name").fill("New Year")
    page.locator("#new_name").locator("xpath=ancestor::div[@role='group']").get_by_role("button").click()
    page.get_by_role("button", name="Add", exact=True).last.click()
    expect(page.get_by_role("heading", level=1, name="Plain")).to_be_visible()
    expect(day(page, "Monday")).to_have_value("10:00-11:30, 12:01-24:00")
    expect(page.locator('[name="days-0-name"]')).to_have_value("New Year")
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status").filter(has_text="is deleted")).to_be_visible()


@pytest.mark.parametrize(("look", "width"), LOOKS)
def test_no_page_has_a_serious_fault(open_page: Open, look: str, width: int) -> None:
    for path in ("/calendars/", "/calendars/new/", "/calendars/1/", "/calendars/1/delete/"):
        page = open_page(path, color_scheme=look, viewport={"width": width, "height": 900})
        if importing := page.get_by_text("Import the public holidays").all():
            importing[0].click()
        page.wait_for_timeout(500)
        assert faults_of(page) == [], path
