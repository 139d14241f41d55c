"""Lists go in by a browser: read, mapped, checked, loaded, and taken out again."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Open, faults_of

pytestmark = pytest.mark.browser

LOOKS = [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)]
CAMPAIGN = "/campaigns/1"


def a_list(folder: Path, start: int = 0, rows: int = 200) -> Path:
    """Write a list as people have it, out of a spreadsheet in Windows: three of its rows are at fault."""
    lines = ["Клієнт;Телефон;Телефон дод.;Борг;До;Примітка"]
    for number in range(start, start + rows):
        lines.append(f'Їжакевич Ґалина {number};067{1_000_000 + number};;{number};31.12.2030;"каже ""так""; чекає"')
    lines[3] = lines[3].replace(f"067{1_000_000 + start + 2}", "немає")
    lines[4] = lines[4].replace("31.12.2030", "31.02.2031")
    lines[5] = lines[6]
    path = folder / "перелік.csv"
    path.write_bytes("\r\n".join(lines).encode("cp1251"))
    return path


def choose_charset(page: Page, typed: str) -> None:
    box = page.get_by_role("combobox", name="Character set")
    box.click()
    box.press_sequentially(typed)
    box.press("Enter")


def test_a_list_from_windows_is_mapped_checked_loaded_run_and_taken_out_again(open_page: Open, tmp_path: Path) -> None:
    page = open_page("/")
    contract = page.locator("article", has_text="Contract renewals")
    if contract.get_by_role("button", name="STOP").count():
        contract.get_by_role("button", name="STOP").click()
    contract.get_by_role("link", name="Uploads").click()
    page.locator("#file").set_input_files(a_list(tmp_path))
    page.wait_for_url("**/uploads/*/")
    rows = page.locator("#first-rows")
    expect(rows).to_contain_text("Їжакевич Ґалина 0")

    # The wrong character set shows at once, and the right one too.
    choose_charset(page, "koi8-r")
    expect(rows).not_to_contain_text("Їжакевич")
    choose_charset(page, "utf-8")
    expect(rows).to_contain_text("Line 1, byte 1 of the file")
    expect(page.get_by_role("button", name="Check the file")).to_be_disabled()
    choose_charset(page, "1251")
    expect(rows).to_contain_text("Їжакевич Ґалина 0")

    mapping = page.locator("#mapping")
    mapping.get_by_label("Клієнт", exact=True).select_option("name")
    mapping.get_by_label("Телефон", exact=True).select_option("number")
    mapping.get_by_label("Телефон дод.", exact=True).select_option("number")
    mapping.get_by_label("Борг").select_option("variable")
    mapping.locator("tr", has_text="Борг").get_by_label("Name").fill("debt")
    mapping.get_by_label("До", exact=True).select_option("expire")
    mapping.get_by_label("Примітка").select_option("nothing")
    expect(mapping.get_by_label("Format of dates")).to_have_value("%d.%m.%Y")
    expect(rows.locator("th", has_text="Борг").first).to_contain_text("debt")
    page.get_by_label("Run after adding members").check()
    assert faults_of(page) == []
    page.get_by_role("button", name="Check the file").click()

    expect(page.get_by_role("heading", name="What the check found")).to_be_visible(timeout=30_000)
    report = page.locator("#stage")
    expect(report).to_contain_text("“немає” holds")
    expect(report).to_contain_text("31.02.2031")
    expect(report).to_contain_text("Duplicates inside the file")
    load = page.get_by_role("button", name="Load", exact=True)
    expect(load).to_be_disabled()
    assert faults_of(page) == []
    page.get_by_label("Skip").check()
    expect(load).to_be_enabled()
    expect(report).to_contain_text("197 subscribers are added, 3 rows are left out. Then the campaign is run.")
    load.click()

    expect(page.get_by_role("heading", name="The list is loaded")).to_be_visible(timeout=30_000)
    assert faults_of(page) == []
    with page.expect_download() as download:
        page.get_by_role("link", name="Rejected rows").click()
    kept = download.value.path().read_text("utf-8-sig").splitlines()
    rejected = list(csv.DictReader(kept, delimiter=";"))
    assert [row["Line"] for row in rejected] == ["4", "5", "7"]
    assert rejected[0]["Телефон"] == "немає"
    assert rejected[0]["Примітка"] == 'каже "так"; чекає'
    assert "“немає” holds" in rejected[0]["Why it was left out"]

    live = open_page("/")
    expect(live.locator("article", has_text="Contract renewals").get_by_role("button", name="STOP")).to_be_visible()

    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="The upload is undone")).to_be_visible(timeout=30_000)
    assert faults_of(page) == []
    page.get_by_role("link", name="All uploads").click()
    expect(page.get_by_role("row", name="перелік.csv").first).to_contain_text("Undone")


def test_a_file_over_the_limit_is_refused_before_it_is_sent(open_page: Open, tmp_path: Path) -> None:
    large = tmp_path / "large.csv"
    large.write_bytes(b"0671000001\n" * 100_000)
    page = open_page(f"{CAMPAIGN}/uploads/")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    page.locator("#file").set_input_files(large)
    expect(page.get_by_role("alert")).to_contain_text("at most 1 MB can be uploaded")
    assert "POST" not in sent


def test_a_page_renamed_to_csv_is_told_where_the_file_was_chosen(open_page: Open, tmp_path: Path) -> None:
    renamed = tmp_path / "list.csv"
    renamed.write_text("<!doctype html><html><body>Log in</body></html>")
    page = open_page(f"{CAMPAIGN}/uploads/")
    with page.expect_response("**/uploads/") as answer:
        page.locator("#file").set_input_files(renamed)
    assert answer.value.status == 400
    expect(page.get_by_role("alert")).to_contain_text("HTML")
    expect(page.get_by_text("Choose a file")).to_be_visible()


def test_a_file_chosen_before_the_script_ran_is_sent_once_it_runs(open_page: Open, tmp_path: Path) -> None:
    page = open_page("/")
    held: list[Route] = []
    page.route("**/uploads*.js", lambda route: held.append(route))
    page.goto(f"{CAMPAIGN}/uploads/", wait_until="commit")
    page.locator("#file").set_input_files(a_list(tmp_path))
    held[0].continue_()
    page.wait_for_url("**/uploads/*/")
    expect(page.locator("#first-rows")).to_contain_text("Їжакевич Ґалина 0")


def test_it_works_without_scripts(open_page: Open, tmp_path: Path) -> None:
    page = open_page(f"{CAMPAIGN}/uploads/", java_script_enabled=False)
    page.locator("#file").set_input_files(a_list(tmp_path, start=1000, rows=20))
    page.get_by_role("button", name="Upload").click()
    page.get_by_label("Skip").check()
    page.get_by_role("button", name="Check the file").click()
    expect(page.get_by_role("heading", name="What the check found")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Load", exact=True).click()
    expect(page.get_by_role("heading", name="The list is loaded")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="The upload is undone")).to_be_visible(timeout=30_000)


def test_a_list_is_read_and_checked_by_keyboard_alone(open_page: Open, tmp_path: Path) -> None:
    page = open_page(f"{CAMPAIGN}/uploads/")
    page.locator("#file").set_input_files(a_list(tmp_path, start=2000, rows=20))
    page.wait_for_url("**/uploads/*/")
    box = page.get_by_role("combobox", name="Character set")
    box.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("listbox", name="Character set")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox", name="Character set")).to_be_hidden()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "check":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What the check found")).to_be_visible(timeout=30_000)


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_the_pages_have_no_serious_fault_of_access(open_page: Open, tmp_path: Path, scheme: str, width: int) -> None:
    look = {"color_scheme": scheme, "viewport": {"width": width, "height": 844}}
    page = open_page(f"{CAMPAIGN}/uploads/", **look)
    found = {"history": faults_of(page)}
    page.locator("#file").set_input_files(a_list(tmp_path, start=3000, rows=20))
    page.wait_for_url("**/uploads/*/")
    found["reading"] = faults_of(page)
    page.get_by_role("combobox", name="Character set").click()
    found["charsets"] = faults_of(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Check the file").click()
    expect(page.get_by_role("heading", name="What the check found")).to_be_visible(timeout=30_000)
    found["report"] = faults_of(page)
    for path in ("/do-not-call/", "/do-not-call/uploads/", f"{CAMPAIGN}/export/", f"{CAMPAIGN}/export/?what=attempts"):
        page.goto(path)
        found[path] = faults_of(page)
    assert {where: told for where, told in found.items() if told} == {}


def test_a_number_is_put_on_the_list_found_and_taken_off_again(open_page: Open) -> None:
    page = open_page("/do-not-call/")
    page.get_by_label("Number", exact=True).fill("+38 (067) 765-43-21")
    page.get_by_label("Reason").fill("Asked by phone")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status").first).to_contain_text("380677654321 is on the list.")
    search = page.get_by_label("Number, or how it begins or ends")
    search.fill("4321")
    expect(page.get_by_role("row", name="380677654321")).to_be_visible()
    search.fill("999")
    expect(page.locator("#listed")).to_contain_text("Nothing found.")
    search.fill("38067")
    page.get_by_role("button", name="Remove 380677654321").click()
    expect(page.get_by_role("status").first).to_contain_text("may be called again")


def test_an_export_is_counted_as_one_chooses_and_downloaded(open_page: Open) -> None:
    page = open_page(f"{CAMPAIGN}/export/")
    everyone = page.locator("#found b").inner_text()
    page.get_by_label("Search").fill("nobody is called so")
    expect(page.locator("#found b")).to_have_text("0")
    page.get_by_label("Search").fill("")
    expect(page.locator("#found b")).to_have_text(everyone)
    page.get_by_role("button", name="None").click()
    page.get_by_label("Numbers numbers").check()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    lines = download.value.path().read_text("utf-8-sig").splitlines()
    assert lines[0] == "numbers"
    assert len(lines) == int(everyone) + 1


def test_a_fault_of_access_is_found_where_there_is_one(open_page: Open) -> None:
    page = open_page("/do-not-call/")
    assert faults_of(page) == []
    page.evaluate("document.querySelector('label[for=id_digits]').remove()")
    assert [told.partition(":")[0] for told in faults_of(page)] == ["label"]
