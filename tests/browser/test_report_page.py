"""The report page in a real browser."""

import pytest
from app import FLAGS, chromium
from playwright.sync_api import sync_playwright

from boxloop.report.build import write_report
from builders_campaign import build_campaign, small_params
from builders_database import SECONDS

BEYOND = """[...document.querySelectorAll("table")].filter(table => {
  const frame = table.closest(".wide") ?? document.documentElement;
  return table.getBoundingClientRect().right > frame.getBoundingClientRect().right + 0.5;
}).map(table => table.innerText)"""

PAGE_WIDTH = "document.documentElement.scrollWidth"


@pytest.mark.parametrize("annotator", ["simulated", "fiftyone"])
def test_a_telephone_shows_the_whole_width_of_the_page(tmp_path, annotator):
    """Tables that are wider are moved in frames of their own; the text stays where it is."""
    params = small_params(3, report={"title": "a_title_without_any_blank_" * 4})
    paths = build_campaign(tmp_path, params, annotator=annotator)
    write_report(paths, params, paths.metrics, paths.report)
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = program.new_page(viewport={"width": 360, "height": 900})
        page.set_default_timeout(1000 * SECONDS)
        page.goto((paths.report / "report.html").as_uri())
        for details in page.locator("details > summary").all():
            details.click()
        assert page.evaluate(PAGE_WIDTH) == 360
        program.close()


def test_no_column_of_a_table_is_cut_off(tmp_path):
    params = small_params(3)
    paths = build_campaign(tmp_path, params)
    write_report(paths, params, paths.metrics, paths.report)
    page_file = paths.report / "report.html"
    text = page_file.read_text(encoding="utf-8")
    page_file.write_text(text.replace('"row">cat<', '"row">AdjustableWrench<'), encoding="utf-8")
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = program.new_page()
        page.set_default_timeout(1000 * SECONDS)
        page.goto(page_file.as_uri())
        assert page.locator("text=AdjustableWrench").count() > 1
        for width in (1024, 1200, 1400):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(BEYOND) == [], width
        program.close()
