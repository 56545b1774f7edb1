"""Times how soon the next image is there after D, in the real App and a headless browser.

    PYTHONPATH=tests:tests/pipeline python tests/browser/next_image.py FOLDER

FOLDER is a new campaign's. A line per image, seconds after the key: until the address is the next
image's, until the panel names it, and until its boxes can be drawn on.
"""

import sys
import time
from pathlib import Path

from app import CANVAS, browser
from campaigns import TINY, init, run

from builders_terminals import review

IMAGES = 8


def main(folder):
    folder.parent.mkdir(parents=True, exist_ok=True)
    init(
        folder,
        *TINY,
        "review.annotator=fiftyone",
        "dataset.demo={images: 14, video_fraction: 0.0, size: [128, 128], seed: 0}",
        "batch={sizes: [10, 4]}",
        batches=2,
    )
    run(folder, "dvc", "repro", check=False)
    with review(folder, "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.start()
        app.page.wait_for_timeout(3000)
        for _ in range(IMAGES):
            page, address, name = app.page, app.page.url, app.image_name()
            begin = time.monotonic()
            page.keyboard.press("d")
            while page.url == address:
                page.wait_for_timeout(10)
            there = time.monotonic() - begin
            while app.image_name() == name:
                page.wait_for_timeout(10)
            named = time.monotonic() - begin
            page.wait_for_selector(CANVAS)
            page.wait_for_selector("[data-cy=detection-mode]")
            ready = time.monotonic() - begin
            print(f"address {there:.2f}, named {named:.2f}, ready {ready:.2f}", flush=True)
            page.wait_for_timeout(2500)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
