"""The report page in a real browser."""

from app import FLAGS, chromium
from playwright.sync_api import sync_playwright

from boxloop.report.build import write_report
from builders_campaign import build_campaign, small_params

BEYOND = """[...document.querySelectorAll("table")].filter(table => {
  const frame = table.closest(".wide") ?? document.documentElement;
  return table.getBoundingClientRect().right > frame.getBoundingClientRect().right + 0.5;
}).map(table => table.innerText)"""


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
        page.goto(page_file.as_uri())
        assert page.locator("text=AdjustableWrench").count() > 1
        for width in (1024, 1200, 1400):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(BEYOND) == [], width
        program.close()
