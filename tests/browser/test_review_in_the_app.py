"""A reviewer's day in a real browser, click by click, from `boxloop review` to `dvc repro`."""

import json
import re

import pytest
from app import browser
from campaigns import TINY, init, run
from playwright.sync_api import expect

from boxloop.campaign.labeled_files import read_labeled
from builders_database import wait_until
from builders_sessions import cut, images
from builders_terminals import kill, nothing_runs, review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SIZE = (128, 128)
A, B, C, D = (8, 8, 40, 40), (60, 10, 100, 44), (20, 70, 50, 110), (75, 75, 115, 118)


@pytest.fixture
def campaign(tmp_path):
    """A campaign with people; images of 128 x 128 pixels in batches of 3 and 7."""
    return init(
        tmp_path / "my campaign",
        *TINY,
        "review.annotator=fiftyone",
        "dataset.demo={images: 10, video_fraction: 0.0, size: [128, 128], seed: 0}",
        "batch={sizes: [3, 7]}",
        batches=2,
    )


def offer(folder, key, boxes):
    """Puts proposals in place of the detector's, which are random after a few steps of training."""
    path = folder / "data" / "proposals" / f"{key}.json"
    content = json.loads(path.read_text())
    content["boxes"] = {
        image_id: [
            {"id": f"p{i}", "label": label, "xyxy": list(xyxy), "score": score}
            for i, (label, xyxy, score) in enumerate(boxes)
        ]
        for image_id in content["boxes"]
    }
    path.write_text(json.dumps(content))


def waits(folder):
    done = run(folder, "dvc", "repro", check=False)
    assert done.returncode != 0
    sentence = next(
        line for line in (done.stdout + done.stderr).splitlines() if line.startswith("boxloop: ")
    )
    assert "Traceback" not in done.stdout + done.stderr
    return sentence


def labels_of(server, image):
    """What is stored of an image."""
    return [box["label"] for box in server.record(image)[0]["boxes"]["detections"]]


def test_a_reviewer_s_day(campaign):
    assert waits(campaign).startswith("boxloop: batch b00 waits for its review, 3 images")

    # The first batch, from empty images.
    with review(campaign, "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.comes_to("progress", (0, 3))
        app.start()
        first = app.image_name()
        app.draw(A, SIZE)  # no class chosen: it has none
        app.done()
        app.draw(B, SIZE, "ball")
        app.draw(C, SIZE, "cup")
        app.close_image()
        outcome, text = app.submit()
        assert outcome == "faults"
        assert f"{first}: box at" in text
        assert "has no class chosen yet" in text
        assert text.count("is not marked as reviewed yet") == 2
        app.page.get_by_text(first, exact=True).first.click()
        app.wait_for_image()
        assert app.image_name() == first
        app.relabel(A, SIZE, "star")
        app.done()
        app.done(key=True)
        app.done(key=True)  # the last one: back to the grid
        app.comes_to("progress", (3, 3))
        outcome, text = app.submit()
        assert outcome == "submitted"
        assert "0 kept, 0 moved, 0 relabeled, 0 removed, 3 added" in text
        assert terminal.ends() == 0
        assert "0 kept, 0 moved, 0 relabeled, 0 removed, 3 added" in terminal.said()
        assert terminal.said().rstrip().endswith("Next: dvc repro")

    assert waits(campaign).startswith("boxloop: batch b01 waits for its review, 7 images")
    offer(
        campaign,
        "b01",
        [("cup", A, 0.9), ("ball", B, 0.8), ("box", C, 0.7), ("star", D, 0.6), ("cup", B, 0.01)],
    )

    # The second batch: every kind of edit, and a power cut in the middle.
    with review(campaign, "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.start()
        app.done(key=True)  # 1: all right
        app.move(A, SIZE, (6, 5))  # 2: one moved, one relabeled
        app.relabel(B, SIZE, "star")
        app.done()
        app.delete(C, SIZE)  # 3: one removed, one added: the cup that scores too little to be drawn
        app.take_from_below()
        app.comes_to("labels", ["ball", "cup", "cup", "star"])
        app.done()
        app.delete(D, SIZE)  # 4: removed and taken back: nothing
        app.undo()
        app.done()
        app.comes_to("progress", (4, 7))
        app.relabel(A, SIZE, "box")  # 5: relabeled, not yet marked
        server, fifth = terminal.app(), app.image_name()
        wait_until(lambda: labels_of(server, fifth).count("box") == 2)
        wait_until(lambda: len(server.reviewed()) == 4)
        kill(campaign, "session", "server", "keeper", "mongod")  # what a power cut does
        assert terminal.ends() != 0
    wait_until(lambda: nothing_runs(campaign))

    with review(campaign, "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.comes_to("progress", (4, 7))
        app.start()
        app.move(A, SIZE, (8, 8))  # 5 again: relabeled and moved is relabeled
        app.done()
        app.draw((100, 50, 124, 70), SIZE, "ball")  # 6: added and removed again: nothing
        app.delete((100, 50, 124, 70), SIZE)
        app.delete(B, SIZE)  # one deleted and drawn again: one removed, one added
        app.draw(B, SIZE, "ball")
        app.close_image(key=True)
        app.select(5, 6)  # 6 and 7: marked in the grid
        app.piece("mark-selected").click()
        app.page.get_by_text("7 of 7 reviewed").first.wait_for()
        expected = {"kept": 23, "moved": 1, "relabeled": 2, "removed": 2, "added": 2}
        app.comes_to("counts", {"boxes": 28, **expected})
        outcome, text = app.submit()
        assert outcome == "submitted", text
        words = "23 kept, 1 moved, 2 relabeled, 2 removed, 2 added"
        assert words in text
        assert terminal.ends() == 0
        assert words in terminal.said()

    run(campaign, "dvc", "repro")
    corrections = json.loads((campaign / "data" / "corrections" / "b01.json").read_text())
    assert corrections["annotator"] == "fiftyone"
    assert corrections["reviewer"] == "ann"
    kinds = {
        kind: sum(edits[kind] for edits in corrections["edits"].values())
        for kind in ("kept", "moved", "relabeled", "removed", "added")
    }
    assert kinds == expected
    assert sum(edits.get("kept_below", 0) for edits in corrections["edits"].values()) == 1
    assert all(seconds > 0 for seconds in list(corrections["seconds"].values())[:6])
    # Nothing but the hidden proposal was left out of what was shown.
    assert all(len(rows) == 5 for rows in corrections["proposals"]["boxes"].values())
    assert "score" not in json.dumps(corrections["boxes"])
    assert len(read_labeled(campaign / "data" / "labeled" / "b01.parquet").boxes) == 10
    wait_until(lambda: nothing_runs(campaign))


@pytest.fixture
def blank(tmp_path):
    """The folder of a first batch of three images, without a dataset and DVC."""
    classes = ("ball", "box", "cup", "star")
    return cut(tmp_path / "blank", {"b00": images(3, ())}, classes=classes, size=SIZE).root


def test_leaving_right_after_an_edit_loses_nothing(blank):
    places = [(10, 10 + 20 * i, 40, 22 + 20 * i) for i in range(5)]
    with review(blank, "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        page = app.page
        leave = {
            "escape": lambda: [page.keyboard.press("Escape") for _ in range(4)],
            "next image": lambda: page.keyboard.press("ArrowRight"),
            "click beside the image": lambda: page.mouse.click(5, 500),
            "reload": page.reload,
            "reviewed, next": lambda: page.keyboard.press("d"),
        }
        for place, go in zip(places, leave.values(), strict=True):
            app.open(0)
            app.mode("detection-mode")
            app.drag(app.point(*place[:2], SIZE), app.point(*place[2:], SIZE), rest=0)
            go()
            page.wait_for_timeout(2000)
            if "id=" in page.url:
                app.close_image()
        app.comes_to("progress", (1, 3))
        outcome, text = app.submit()
        assert outcome == "faults"
        # The first box got the placeholder, and the App gives every new one the class before.
        assert text.count("has no class chosen yet") == len(places)


def test_a_mistyped_height_keeps_nobody_from_the_image(tmp_path):
    """The App draws the dashes of a side one by one: a million of them took the tab down."""
    rows = (("ball", A, 0.9), ("box", B, 0.8), ("cup", C, 0.7), ("star", D, 0.6))
    batches = {"b00": images(1, ()), "b01": images(1, rows, first=1)}
    folder = cut(tmp_path / "c", batches, classes=("ball", "box", "cup", "star"), size=SIZE).root
    with review(folder, "b01", "--reviewer", "ann") as terminal:
        with browser(terminal.address()) as app:
            app.open(0)
            app.pick(D, SIZE)  # the least sure one, which is dashed
            sides = app.page.locator("input[type=number]")
            *_, height = sides.all()
            assert float(height.input_value()) == pytest.approx((D[3] - D[1]) / SIZE[1])
            height.fill("1000000")
            app.page.keyboard.press("Tab")
            app.leave_box()
            app.close_image()
        with browser(terminal.address()) as app:
            app.open(0)
            app.comes_to("labels", ["ball", "box", "cup", "star"])
            app.done()
            outcome, text = app.submit()
            assert (outcome, "star" in text) == ("faults", True)


def test_the_summary_stays_when_the_session_has_ended(tmp_path):
    """The App would welcome whoever looks up from the last image, and say that it is alone."""
    folder = cut(tmp_path / "c", {"b00": images(1, ())}, classes=("ball", "cup"), size=SIZE).root
    with review(folder, "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.open(0)
        app.draw(A, SIZE, "cup")
        app.done(key=True)
        assert app.submit()[0] == "submitted"
        assert terminal.ends() == 0
        kept = app.page.locator("[data-boxloop=kept]")
        expect(kept).to_be_visible()
        expect(kept).to_contain_text("0 kept, 0 moved, 0 relabeled, 0 removed, 1 added")
        app.page.wait_for_timeout(3000)
        expect(kept).to_be_visible()


def test_keys_after_a_choice_and_a_submission_that_fails(blank):
    """D right after a class was chosen; a folder that takes no submission, said until dismissed."""
    reviews = blank / "reviews"
    with review(blank, "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.start()
        app.mode("detection-mode")
        app.drag(app.point(*A[:2], SIZE), app.point(*A[2:], SIZE))
        app.page.locator("[data-cy=root_label_container]").wait_for()
        classes = app.page.locator("[data-cy=root_label_container] [role=combobox]")
        classes.click()
        first = app.page.url
        app.page.keyboard.press("d")  # typed, to find a class by
        expect(classes).to_have_value(re.compile("d$"))
        assert app.page.url == first
        classes.fill("cu")
        # At once: the list has not closed yet, and the App takes the focus off the field only when
        # it has saved the choice.
        app.page.get_by_role("option", name="cup", exact=True).evaluate(
            """(option) => {
                for (const type of ["pointerdown", "mousedown", "pointerup", "mouseup", "click"])
                    option.dispatchEvent(new MouseEvent(type, { bubbles: true, cancelable: true }));
                const pressed = { key: "d", bubbles: true, cancelable: true };
                document.activeElement.dispatchEvent(new KeyboardEvent("keydown", pressed));
            }"""
        )
        expect(app.page).not_to_have_url(first)
        app.digit("ball")  # for the boxes to come
        app.draw(B, SIZE)
        app.draw(C, SIZE)
        app.digit("star")  # no box is chosen: it is for the next ones
        app.pick(C, SIZE)
        app.digit("cup")
        app.leave_box()
        app.comes_to("labels", ["ball", "cup"])
        app.page.keyboard.press("h")
        expect(app.piece("hide")).to_have_text("Show the boxes (H)")
        # A slider that has the focus is not typed into; the next image shows its boxes.
        app.page.evaluate(
            """() => {
                const slider = document.body.appendChild(document.createElement("input"));
                slider.type = "range";
                slider.focus();
            }"""
        )
        app.done(key=True)
        expect(app.piece("hide")).to_have_text("Hide the boxes (H)")
        app.done()
        app.comes_to("progress", (3, 3))
        reviews.write_text("no folder")
        app.piece("submit").click()
        app.piece("failure").wait_for()
        app.page.wait_for_timeout(4000)  # three polls of the panel later it is there still
        said = app.piece("failure").inner_text()
        assert "reviews cannot be looked into" in said
        assert f"let your account write to {reviews}" in said
        assert "No box is lost." in said
        app.piece("dismiss").click()
        app.piece("failure").wait_for(state="hidden")
        reviews.unlink()
        outcome, text = app.submit()
        assert outcome == "submitted", text
        assert "3 added" in text
        assert terminal.ends() == 0
