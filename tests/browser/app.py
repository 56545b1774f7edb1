"""A reviewer's hands: the App in a real browser, driven by what is on the screen.

Boxes are given in pixels of the image; where they are on the screen follows from the image being
shown whole and centred on its canvas.
"""

import re
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from builders_database import SECONDS, wait_until

expect.set_options(timeout=1000 * SECONDS)
CANVAS = "#lighter-singleton-canvas"
FLAGS = [
    "--no-sandbox",
    # WebGL without a graphics card.
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]


def chromium():
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no chromium: apt-get install chromium")
    return found


@contextmanager
def browser(url, *, width=1400, height=900):
    """Opens the App; gives the page object."""
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = program.new_context(viewport={"width": width, "height": height}).new_page()
        page.set_default_timeout(1000 * SECONDS)
        try:
            page.goto(url)
            page.wait_for_selector("[data-boxloop=panel] [data-boxloop]")
            yield App(page)
        except BaseException:
            seen = Path(tempfile.gettempdir()) / "boxloop-browser-failure.png"
            page.screenshot(path=seen)
            print(f"what the browser showed at {page.url}: {seen}")
            raise
        finally:
            program.close()


class App:
    """What a reviewer sees and does."""

    def __init__(self, page):
        self.page = page

    def piece(self, name):
        """The visible element of the panel that carries this name."""
        return self.page.locator(f"[data-boxloop={name}]:visible").last

    # --- the grid ---------------------------------------------------------------------------------

    def start(self):
        """Opens the first image that waits."""
        self.piece("start").click()
        self.wait_for_image()

    def open(self, position):
        """Opens the image at a position of the grid."""
        self.page.locator("[data-cy=looker]").nth(position).click()
        self.wait_for_image()

    def select(self, *positions):
        """Ticks images of the grid."""
        for position in positions:
            looker = self.page.locator("[data-cy=looker]").nth(position)
            looker.hover()
            looker.locator("[data-cy^=looker-checkbox]").first.click()

    def close_image(self, *, key=False):
        """Back to the grid, by the panel's button or by the escape key."""
        if key:
            while "id=" in self.page.url:
                self.page.keyboard.press("Escape")
                self.page.wait_for_timeout(200)
        else:
            self.piece("back").click()
        self.page.wait_for_selector(CANVAS, state="hidden")
        self.piece("submit").wait_for()

    def submit(self):
        """Presses the button; gives what the panel says: ("submitted" or "faults", text)."""
        self.piece("submit").click()
        outcome = self.page.locator(
            "[data-boxloop=submitted]:visible, [data-boxloop=faults]:visible"
        )
        expect(self.page.get_by_text("Checking ...")).to_be_hidden()
        outcome.first.wait_for()
        return outcome.first.get_attribute("data-boxloop"), outcome.first.inner_text()

    def comes_to(self, what, expected):
        """Waits until "labels", "progress" or "counts" are these: they follow what is done."""
        with suppress(AssertionError):
            wait_until(lambda: getattr(self, what)() == expected)
        assert getattr(self, what)() == expected

    def counts(self):
        """The numbers of the panel, once they have caught up."""
        names = ("boxes", "kept", "moved", "relabeled", "removed", "added")
        return {name: int(self.piece(name).inner_text()) for name in names}

    def progress(self):
        done, total = re.match(r"(\d+) of (\d+)", self.piece("progress").inner_text()).groups()
        return int(done), int(total)

    # --- the open image ---------------------------------------------------------------------------

    def wait_for_image(self):
        self.piece("done").wait_for()
        self.page.wait_for_selector(CANVAS)
        self.page.wait_for_selector("[data-cy=detection-mode]")
        self.page.wait_for_timeout(700)
        shown = [b"", b""]
        for _ in range(20):  # the image moves into place
            shown = [shown[1], self.page.screenshot(clip=self.page.locator(CANVAS).bounding_box())]
            if shown[0] == shown[1]:
                break
            self.page.wait_for_timeout(300)

    def image_name(self):
        return self.piece("image").inner_text()

    def point(self, x, y, size):
        """Pixels of the image to pixels of the screen."""
        area = self.page.locator(CANVAS).bounding_box()
        width, height = size
        scale = min(area["width"] / width, area["height"] / height)
        left = area["x"] + (area["width"] - width * scale) / 2
        top = area["y"] + (area["height"] - height * scale) / 2
        return left + x * scale, top + y * scale

    def drag(self, start, end, *, rest=150):
        mouse = self.page.mouse
        mouse.move(start[0] - 2, start[1] - 2)
        mouse.move(*start)
        self.page.wait_for_timeout(60)
        mouse.down()
        mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=5)
        mouse.move(*end, steps=5)
        self.page.wait_for_timeout(60)
        mouse.up()
        self.page.wait_for_timeout(rest)

    def draw(self, xyxy, size, label=None):
        """Draws a box and, with a label, chooses its class."""
        self.mode("detection-mode")
        self.drag(self.point(*xyxy[:2], size), self.point(*xyxy[2:], size))
        self.page.locator("[data-cy=root_label_container]").wait_for()
        if label is not None:
            self.choose(label)
        self.leave_box()

    def mode(self, name):
        """Chooses a tool under Create."""
        button = self.page.locator(f"[data-cy={name}]")
        if button.get_attribute("data-cy-active") != "true":
            button.click()
        expect(button).to_have_attribute("data-cy-active", "true")
        self.page.wait_for_timeout(150)

    def choose(self, label):
        self.page.locator("[data-cy=root_label_container] [role=combobox]").click()
        self.page.get_by_role("option", name=label, exact=True).click()
        self.page.wait_for_timeout(150)

    def digit(self, label):
        """Presses the digit that the panel names for a class."""
        classes = self.page.get_by_text(re.compile("^Classes: ")).last.inner_text()
        self.page.keyboard.press(re.search(rf"(\d) {label}\b", classes)[1])
        self.page.wait_for_timeout(150)

    def labels(self):
        """Classes of the open image's boxes, as the App lists them: it hides none of them."""
        return sorted(self.page.locator("[data-cy^=annotate-label-]").all_inner_texts())

    def take_from_below(self):
        """Shows what scores below the threshold, and takes the best of it."""
        self.page.keyboard.press("b")
        listed = self.page.locator("[data-cy^=annotate-label-]")
        before = listed.count()
        self.page.locator("[data-boxloop=accept]").first.click()
        expect(listed).to_have_count(before + 1)
        self.page.keyboard.press("b")

    def pick(self, xyxy, size):
        """Clicks into a box."""
        self.mode("select-action")
        x, y = self.point((xyxy[0] + xyxy[2]) / 2, (xyxy[1] + xyxy[3]) / 2, size)
        self.page.mouse.move(x - 2, y - 2)
        self.page.mouse.move(x, y)
        self.page.wait_for_timeout(100)
        self.page.mouse.click(x, y)
        self.page.locator("[data-cy=root_label_container]").wait_for()

    def leave_box(self):
        back = self.page.locator("[data-cy=annotate-edit-back]")
        if back.count():
            back.click()
            self.page.wait_for_timeout(150)

    def relabel(self, xyxy, size, label):
        self.pick(xyxy, size)
        self.choose(label)
        self.leave_box()

    def move(self, xyxy, size, by):
        """Drags a box by (dx, dy) pixels of the image."""
        self.pick(xyxy, size)
        x, y = (xyxy[0] + xyxy[2]) / 2, (xyxy[1] + xyxy[3]) / 2
        self.drag(self.point(x, y, size), self.point(x + by[0], y + by[1], size))
        self.leave_box()

    def delete(self, xyxy, size):
        self.pick(xyxy, size)
        self.page.locator("[data-cy=label-menu-trigger]").click()
        self.page.locator("[data-cy=label-menu-delete]").click()
        self.page.wait_for_timeout(200)

    def undo(self):
        self.page.locator("[data-cy=undo-button]").click()
        self.page.wait_for_timeout(200)

    def done(self, *, key=False):
        """Reviewed, and on to the next image."""
        before = self.page.url
        if key:
            self.page.keyboard.press("d")
        else:
            self.piece("done").click()
        expect(self.page).not_to_have_url(before)
        if "id=" in self.page.url:
            self.wait_for_image()
