"""A campaign in a real browser: grid, scatter, views, and nothing that could be changed."""

import signal

import numpy as np
import pytest
from app import FLAGS, chromium
from playwright.sync_api import sync_playwright

from boxloop.campaign import artifacts
from boxloop.core.types import FeatureTable
from builders_campaign import build_campaign, small_params
from builders_database import require_mongod, wait_until
from builders_terminals import nothing_runs, review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def test_look_and_change_nothing(tmp_path):
    require_mongod()
    folder = tmp_path / "my campaign"
    paths = build_campaign(folder, small_params(), done=2, through="proposals")
    ids = artifacts.read_order(paths.order).image_ids
    vectors = np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32)
    artifacts.write_features(paths.features, FeatureTable(ids, vectors))
    params = small_params().model_dump_json(include={"iterations", "review"})
    (folder / "params.yaml").write_text(params)
    before = {path: path.read_bytes() for path in (folder / "data").rglob("*") if path.is_file()}
    with review(folder, command="browse") as terminal:
        address = terminal.address()
        with sync_playwright() as playwright:
            program = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            page = program.new_context(viewport={"width": 1400, "height": 900}).new_page()
            page.set_default_timeout(120_000)
            refused = []
            page.on("response", lambda r: refused.append(r.url) if r.status == 403 else None)
            page.goto(address)
            page.wait_for_function("document.querySelectorAll('[data-cy=looker]').length === 6")
            palette = page.locator("[data-cy=action-color-settings]")  # it would only be refused
            assert palette.count()
            assert not palette.first.is_visible()
            page.get_by_text("6 points", exact=True).wait_for()
            page.locator(".emb-colorby").get_by_text("batch").wait_for()
            assert not refused  # the App would say that it failed
            page.locator("[data-cy=saved-views-selection]").first.click()
            page.get_by_text("never reviewed", exact=True).click()
            page.locator("[data-cy=entry-counts]").get_by_text("2 samples").wait_for()
            page.locator("[data-cy=looker]").first.click()
            page.get_by_text("Explore", exact=True).last.wait_for()
            assert not page.locator("[data-cy=annotate]").is_visible()
            program.close()
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ends() == 0
        assert terminal.said().rstrip().endswith("Closed; nothing was changed.")
    assert {path: path.read_bytes() for path in before} == before
    assert not [*(folder / ".boxloop" / "browse").glob("*.lock")]
    wait_until(lambda: nothing_runs(folder))
