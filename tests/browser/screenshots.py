"""Makes the pictures of docs/review.md: a real session on the demo, photographed.

    PYTHONPATH=tests:tests/pipeline python tests/browser/screenshots.py FOLDER OUT

FOLDER is a new campaign's (it takes some minutes to train), OUT gets the pictures.
"""

import io
import sys
from pathlib import Path

from app import browser
from campaigns import run
from PIL import Image

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from builders_reviews import submit
from builders_terminals import review

SIZE = (128, 128)


def main(folder, out):
    out.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        prepare(folder)
    with review(folder, "b01", "--reviewer", "ann") as terminal:
        with browser(terminal.address(), width=1440, height=860) as app:
            take(app, folder, out)
        terminal.ends()
        print(terminal.said())


def prepare(folder):
    """A campaign whose first batch is labeled, and whose second one waits with real proposals."""
    demo = Path(__file__).parents[2] / "params.yaml"
    run(
        folder.parent, "boxloop", "init", str(folder), "--params", str(demo), "--batches", "5",
        "--set", "review.annotator=fiftyone", "--set", "batch={sizes: [60, 20, 60, 80, 80]}",
    )  # fmt: skip
    run(folder, "dvc", "repro", check=False)
    submit(folder, "b00", reviewer="ann")
    run(folder, "dvc", "repro", check=False)


def take(app, folder, out):
    paths = CampaignPaths(folder)
    truth = artifacts.read_truth(paths.truth)
    names = list(artifacts.read_proposals(paths.proposals("b01")).boxes)

    def photo(name):
        picture = Image.open(io.BytesIO(app.page.screenshot())).convert("RGB")
        picture.quantize(192).save(out / f"{name}.png", optimize=True)

    app.page.wait_for_timeout(2000)
    app.start()
    for _ in range(7):
        app.page.wait_for_timeout(1500)
        app.done(key=True)
    app.page.wait_for_timeout(1500)
    box = truth[app.image_name()]
    app.move(box.xyxy[0], SIZE, (3, 2))
    app.pick(box.xyxy[0] + [3, 2, 3, 2], SIZE)
    app.page.mouse.move(*app.point(2, 120, SIZE))
    app.page.wait_for_timeout(1500)
    photo("annotate")
    app.close_image()
    app.page.wait_for_timeout(2500)
    photo("grid")
    app.submit()
    app.page.wait_for_timeout(500)
    photo("faults")
    app.select(*range(8, len(names)))
    app.piece("mark-selected").click()
    app.page.wait_for_timeout(4000)
    if app.progress()[0] < len(names):
        app.start()
        app.done()
    app.submit()
    photo("submitted")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
