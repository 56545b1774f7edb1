"""Times what a reviewer waits for: from `boxloop review` to a grid that can be used.

    PYTHONPATH=tests:tests/pipeline:tests/browser python benchmarks/review_grid.py 40 1000

"Can be used" is: in a real Chromium, thumbnails are drawn and the panel shows the first image's
button. The browser is open already; the times hold the start of database, App and page.
"""

import sys
import tempfile
import time
from pathlib import Path

from app import browser
from review_session import build

from builders_terminals import review


def main(counts: list[int]) -> None:
    for count in counts:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "campaign"
            build(folder, count, 5)
            for name in ("first start", "later start"):
                started = time.perf_counter()
                with review(folder) as terminal:
                    url = terminal.address()
                    ready = time.perf_counter() - started
                    with browser(url) as app:
                        app.piece("start").wait_for()
                        app.page.locator("[data-cy=looker]").first.wait_for()
                        drawn = time.perf_counter() - started
                print(f"{count} images, {name}: address {ready:.1f} s, grid {drawn:.1f} s")


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [40, 1000])
