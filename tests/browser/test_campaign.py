"""The pages of a campaign in a browser: what moves by mouse, by keyboard and without scripts; axe finds no fault."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, faults_of

pytestmark = pytest.mark.browser

LOOKS = [("light", 1440), ("dark", 390)]
CAMPAIGN = "/campaigns/1"
PAGES = (
    f"{CAMPAIGN}/", f"{CAMPAIGN}/parameters/", f"{CAMPAIGN}/variables/", f"{CAMPAIGN}/causes/", f"{CAMPAIGN}/desk/",
    f"{CAMPAIGN}/operators/", f"{CAMPAIGN}/routes/?number=0501234567", f"{CAMPAIGN}/routes/new/", f"{CAMPAIGN}/clone/",
    f"{CAMPAIGN}/delete/", "/campaigns/new/", "/campaigns/first/", "/campaigns/first/1/?step=operators",
    "/campaigns/first/1/?step=run",
)  # fmt: skip


def column(page: Page, cause: str) -> str:
    return str(
        page.locator(f"li[data-cause={cause}]").locator("xpath=ancestor::section").get_attribute("data-treatment")
    )


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_axe_finds_no_serious_fault_and_nothing_is_wider_than_the_window(
    open_page: Open, scheme: str, width: int
) -> None:
    page = open_page(PAGES[0], color_scheme=scheme, viewport={"width": width, "height": 900})
    for path in PAGES:
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert faults_of(page) == [], path


def test_causes_move_by_mouse_and_by_keyboard_and_are_saved_at_once(open_page: Open) -> None:
    page = open_page(f"{CAMPAIGN}/causes/")
    page.locator("li[data-cause=USER_BUSY] .cause-code").drag_to(page.locator("section[data-treatment=minus] .hint"))
    assert column(page, "USER_BUSY") == "minus"
    chosen = page.get_by_label("NO_ANSWER", exact=True)
    chosen.focus()
    chosen.press("ArrowRight")
    assert column(page, "NO_ANSWER") == "ok"
    expect(chosen).to_be_focused()
    expect(page.locator("#moved")).to_have_text("NO_ANSWER is in OK now.")
    expect(page.get_by_text("Not saved yet")).to_be_visible()
    page.get_by_label("Cause", exact=True).fill("QUIET_LINE")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notice-good")).to_contain_text("3 causes moved")
    assert [column(page, cause) for cause in ("USER_BUSY", "NO_ANSWER", "QUIET_LINE")] == ["minus", "ok", "error"]
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Restore the defaults").click()
    expect(page.locator(".notice-good")).to_contain_text("the defaults again")
    assert [column(page, cause) for cause in ("USER_BUSY", "NO_ANSWER")] == ["retry", "retry"]
    assert page.locator("li[data-cause=QUIET_LINE]").count() == 0


def test_variables_by_keyboard_alone(open_page: Open) -> None:
    page = open_page(f"{CAMPAIGN}/variables/")
    page.get_by_role("button", name="Add a variable").press("Enter")
    for text in ("api_on_answer", "x", "greeting", "Вітаю"):
        page.keyboard.type(text)
        page.keyboard.press("Enter")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.locator("#variables .fault")).to_contain_text("acts on the switch itself")
    bad = page.locator("#variables tr.is-bad")
    bad.get_by_role("button", name="Remove this variable").press("Enter")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.locator(".notice-good")).to_contain_text("added: greeting")
    page.locator("#variables tr", has=page.locator("[value=greeting]")).get_by_role("button").press("Enter")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.locator(".notice-good")).to_contain_text("removed: greeting")


def test_without_scripts_causes_and_variables_are_saved(open_page: Open) -> None:
    page = open_page(f"{CAMPAIGN}/causes/", java_script_enabled=False)
    page.get_by_label("LOSE_RACE", exact=True).select_option("error")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notice-good")).to_contain_text("LOSE_RACE Retry → Error")
    page.get_by_role("button", name="Restore the defaults").click()
    expect(page.locator(".notice-good")).to_contain_text("the defaults again")
    page.goto(f"{CAMPAIGN}/variables/")
    page.get_by_label("Name", exact=True).last.fill("spare")
    page.get_by_label("Value", exact=True).last.fill("1")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notice-good")).to_contain_text("added: spare")
    page.locator("[value=spare]").fill("")
    page.locator("tr", has=page.locator("[value=spare]")).get_by_label("Value", exact=True).fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notice-good")).to_contain_text("removed: spare")


def test_a_search_offers_the_operators_that_match(open_page: Open) -> None:
    page = open_page(f"{CAMPAIGN}/operators/")
    row = page.locator(".tiers tbody tr").last
    name = row.get_by_role("link").inner_text()
    row.get_by_role("checkbox").check()
    page.get_by_role("button", name="Take the chosen ones away").click()
    expect(page.locator(".notice-good")).to_contain_text("1 operator is taken away")
    page.locator("#find").fill("nobody at all")
    expect(page.locator("#found")).to_contain_text("Nobody who could be added matches.")
    page.locator("#find").fill(name[:4])
    page.locator("#found").get_by_label(name).check()
    page.get_by_label("Level", exact=True).fill("2")
    page.get_by_role("button", name="Add the chosen ones").click()
    expect(page.locator(".notice-good")).to_contain_text("1 operator serves")
    expect(page.locator(".tiers")).to_contain_text(name)


def dispositions(page: Page) -> list[str]:
    return [str(field.input_value()) for field in page.locator("#dispositions .d-name input").all()]


def test_dispositions_move_by_mouse_and_by_keyboard_and_the_script_is_shown_filled_in(open_page: Open) -> None:
    page = open_page(f"{CAMPAIGN}/desk/")
    page.on("dialog", lambda dialog: dialog.accept())
    add = page.get_by_role("button", name="Add a disposition")
    for name, meaning in (("Sold", "success"), ("Busy", "failure"), ("Later", "call_back")):
        add.click()
        page.keyboard.type(name)
        page.locator("#dispositions [data-meaning]").last.select_option(meaning)
    before = dispositions(page)[:-3]
    rows = page.locator("#dispositions li")
    expect(rows.last).to_have_attribute("data-tone", "talk")
    expect(rows.last.get_by_label("Stops")).to_be_hidden()
    page.locator("#dispositions .d-name input").last.press("Alt+ArrowUp")
    assert dispositions(page) == [*before, "Sold", "Later", "Busy"]
    expect(page.locator("#placed")).to_have_text(f"Later is number {len(before) + 2} now.")
    rows.last.locator("[data-handle]").drag_to(
        rows.nth(len(before)).locator("[data-handle]"), target_position={"x": 5, "y": 1}
    )
    assert dispositions(page) == [*before, "Busy", "Sold", "Later"]
    page.get_by_role("textbox", name="Script").fill("Good day, {name}!")
    expect(page.locator("#preview")).to_contain_text("Good day, Anna Example!")
    page.locator("#dispositions .d-name input").first.press("Enter")
    expect(page.locator(".notice-good")).to_contain_text("The dispositions are saved")
    assert dispositions(page) == [*before, "Busy", "Sold", "Later"]
    for name in ("Busy", "Sold", "Later"):
        page.get_by_role("button", name=f"Remove {name}").click()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notice-good")).to_contain_text("The dispositions are saved")
    assert dispositions(page) == before


def test_without_scripts_dispositions_are_added_and_moved(open_page: Open) -> None:
    page = open_page(f"{CAMPAIGN}/desk/", java_script_enabled=False)
    before = dispositions(page)
    for name in ("First", "Second"):
        page.get_by_role("button", name="Add a disposition").click()
        page.locator("#dispositions .d-name input").last.fill(name)
    page.locator("#dispositions [name=up]").last.click()
    expect(page.locator("#dispositions .d-name input").last).to_have_value("First")
    assert dispositions(page) == [*before, "Second", "First"]
    expect(page.get_by_text("Not saved yet")).to_be_visible()
