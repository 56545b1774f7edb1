import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from boxloop.core.types import Boxes, ImageRef
from boxloop.errors import ArtifactError, DatasetError
from boxloop.files import file_digest
from boxloop.models.detectors.dataset import InputSize, LabeledSamples, draw_shared_batches
from boxloop.models.detectors.postprocess import to_boxes
from boxloop.models.detectors.transforms import Augment, cut_window
from boxloop.models.image_loader import read_resized, resize
from boxloop.params import TrainParams
from builders_detectors import CLASSES, drawn, labeled

ALL = TrainParams(steps=1, augment=("hflip", "vflip", "color", "zoom_out", "iou_crop")).augment
SQUASH = InputSize((64, 64), keep_aspect=False)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("scenes"), 6, (96, 80))


def samples(scenes, augment=(), size=SQUASH, **options):
    refs, truth = scenes
    return LabeledSamples(labeled(truth), refs, CLASSES, size, Augment(augment, 0), **options)


# --- input size ---


def test_squashes_or_keeps_the_aspect_ratio():
    assert InputSize((300, 200), keep_aspect=False).of(50, 90) == (300, 200)
    keeping = InputSize((600, 1024), keep_aspect=True)
    assert keeping.of(480, 640) == (600, 800)
    assert keeping.of(640, 480) == (800, 600)
    assert keeping.of(370, 1224) == (310, 1024)  # the longer side is the limit


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(32, 900), st.integers(0, 900))
@settings(max_examples=60, deadline=None)
def test_a_kept_aspect_ratio_fits_both_sides(height, width, shorter, more):
    h, w = InputSize((shorter, shorter + more), keep_aspect=True).of(height, width)
    assert 1 <= min(h, w) <= shorter
    assert max(h, w) <= shorter + more


# --- the order of the draws ---


@given(st.integers(1, 9), st.integers(1, 40), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_each_pass_draws_every_image_once(images, draws, seed):
    found = list(draw_shared_batches(images, draws, seed))
    assert [number for _, number in found] == list(range(draws))
    for start in range(0, draws - images + 1, images):
        assert sorted(i for i, _ in found[start : start + images]) == list(range(images))
    assert found == list(draw_shared_batches(images, draws, seed))


def test_passes_differ():
    found = [index for index, _ in draw_shared_batches(20, 40, 0)]
    assert found[:20] != found[20:]


# --- images and boxes ---


def test_boxes_follow_the_image_to_its_input_size(scenes):
    _, truth = scenes
    item = samples(scenes)[2, 0]
    assert item.image.shape == (3, 64, 64)
    assert item.image.dtype == torch.uint8
    expected = truth["image2"].xyxy * [64 / 96, 64 / 80, 64 / 96, 64 / 80]
    np.testing.assert_allclose(item.boxes.numpy(), expected, rtol=1e-5)
    assert item.labels.tolist() == [1, 2]


def test_rounding_leads_no_box_beyond_the_border(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (97, 61)).save(path)
    ref = ImageRef("a", str(path), 97, 61, file_digest(path))
    truth = {"a": Boxes.build([(0, 0, 97, 61)], ["disc"])}
    for side in (229, 233, 393):  # 97 or 61 times the ratio is more, as a float32
        data = samples(([ref], truth), (), InputSize((side, side), keep_aspect=False))
        assert (data[0, 0].boxes <= side).all()


def test_in_memory_or_from_disk_is_the_same(scenes):
    cached, streamed = samples(scenes, ALL), samples(scenes, ALL, budget=0)
    assert cached.images.in_memory
    assert not streamed.images.in_memory
    for key in [(0, 0), (3, 1), (5, 77)]:
        for one, two in zip(cached[key][:3], streamed[key][:3], strict=True):
            assert torch.equal(one, two)


def test_worker_processes_change_nothing(scenes):
    def drawn_by(workers):
        loader = DataLoader(
            samples(scenes, ALL),
            batch_size=3,
            sampler=draw_shared_batches(6, 12, 0),
            num_workers=workers,
            collate_fn=list,
        )
        return [item for batch in loader for item in batch]

    for one, two in zip(drawn_by(0), drawn_by(2), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[:3], two[:3], strict=True))


def test_a_missing_image_is_named(scenes, tmp_path):
    _, truth = scenes
    refs = [ImageRef(name, str(tmp_path / f"{name}.png"), 96, 80, "0") for name in truth]
    with pytest.raises(DatasetError, match=r"image\d\.png does not exist"):
        samples((refs, truth))


@pytest.mark.parametrize(
    ("box", "size", "said"),
    [
        ((10, 10, 10 + 1e-9, 30), (96, 80), "has no area to speak of"),
        ((10, 10, 10.009, 30), (96, 80), "has no area to speak of"),
        ((100, 10, 120, 30), (96, 80), "lies outside"),
        ((96, 10, 96.5, 30), (96, 80), "lies outside"),
        ((95.995, 10, 96.5, 30), (96, 80), "lies outside"),
        # As the numbers of a model it has none, once it is scaled to its input.
        ((150000.008, 10, 150000.02, 30), (200000, 80), "has no area to speak of"),
    ],
)
def test_a_box_that_nothing_can_be_learned_from_is_refused_by_name(tmp_path, box, size, said):
    path = tmp_path / "a.png"
    Image.new("RGB", size).save(path)
    ref = ImageRef("a", str(path), *size, file_digest(path))
    truth = {"a": Boxes.build([(1, 1, 9, 9), box], ["disc", "disc"])}
    sentence = rf"box t1 of image 'a' \(.*\) {said} .*its {size[0]}x{size[1]} pixels: put it right"
    with pytest.raises(ArtifactError, match=sentence):
        samples(([ref], truth))


def test_a_box_that_overshoots_is_trained_on(scenes):
    refs, _ = scenes
    truth = {refs[0].id: Boxes.build([(-1, 0, 99, 80.5), (5, 5, 5.02, 5.02)], ["disc", "disc"])}
    assert len(samples((refs, truth))[0, 0].boxes) == 2


# --- windows of enlarged images ---


WINDOW = InputSize((40, 48), keep_aspect=True)


@pytest.mark.parametrize("zoom", [1.5, 2.0, 3.0])
def test_windows_are_cut_out_of_the_enlarged_image(scenes, zoom):
    """Against a loop over all places, on pixels that occur once: an offset of one would show."""
    refs, truth = scenes
    data = samples(scenes, (), WINDOW, zoom=zoom)
    height, width = WINDOW.zoomed(zoom).of(80, 96)
    large = read_resized(refs[1], (height, width)).to(torch.int16)
    scale = np.array([width / 96, height / 80] * 2)
    places = set()
    for draw in range(30):
        item = data[1, draw]
        assert item.image.shape == (3, 40, 48)
        [(top, left)] = [
            (y, x)
            for y in range(height - 39)
            for x in range(width - 47)
            if torch.equal(large[:, y : y + 40, x : x + 48], item.image.to(torch.int16))
        ]
        places.add((top, left))
        expected, labels = [], []
        for (x1, y1, x2, y2), label in zip(truth["image1"].xyxy * scale, (1, 2), strict=True):
            x1, x2, y1, y2 = x1 - left, x2 - left, y1 - top, y2 - top
            if 0 <= (x1 + x2) / 2 < 48 and 0 <= (y1 + y2) / 2 < 40:
                expected.append((max(x1, 0), max(y1, 0), min(x2, 48), min(y2, 40)))
                labels.append(label)
        assert item.labels.tolist() == labels
        np.testing.assert_allclose(
            item.boxes.numpy().reshape(-1, 4), np.reshape(expected, (-1, 4)), rtol=1e-4, atol=1e-3
        )
    assert len(places) > 10


def test_most_windows_hold_a_box_where_boxes_are_few(tmp_path):
    image = torch.zeros(3, 400, 400, dtype=torch.uint8)
    boxes, labels = torch.tensor([[10.0, 380.0, 18.0, 388.0]]), torch.tensor([1])
    found = [cut_window(image, boxes, labels, (50, 50), seed=0, draw=draw) for draw in range(400)]
    share = sum(len(own) for _, _, own in found) / 400
    assert 0.7 < share < 0.85  # three of four, and few by chance
    for _, own, _ in found:
        assert ((own[:, 2:] - own[:, :2]) > 0).all()
    again = [cut_window(image, boxes, labels, (50, 50), seed=0, draw=draw) for draw in range(400)]
    assert all(torch.equal(a[1], b[1]) for a, b in zip(found, again, strict=True))


def test_a_window_is_no_larger_than_its_image():
    image = torch.arange(3 * 5 * 7, dtype=torch.uint8).reshape(3, 5, 7)
    whole, boxes, _ = cut_window(
        image, torch.tensor([[1.0, 1, 3, 4]]), torch.tensor([1]), (9, 9), seed=0, draw=3
    )
    assert torch.equal(whole, image)
    assert boxes.tolist() == [[1, 1, 3, 4]]


@pytest.mark.parametrize("names", [("hflip",), ALL])
def test_windows_are_changed_like_images(scenes, names):
    data = samples(scenes, names, WINDOW, zoom=2.0)
    for draw in range(40):
        item = data[draw % len(data), draw]
        height, width = item.image.shape[-2:]
        assert min(height, width) <= 40  # of a crop, whose shape is another one
        assert max(height, width) <= 48
        assert (item.boxes >= 0).all()
        assert (item.boxes[:, 2:] > item.boxes[:, :2]).all()
        assert (item.boxes[:, 2:] <= torch.tensor([width, height])).all()


@pytest.mark.parametrize("name", ["hflip", "vflip"])
def test_a_window_is_flipped_wherever_its_box_lies(name):
    image = torch.zeros(3, 200, 200, dtype=torch.uint8)
    boxes, labels = torch.tensor([[95.0, 96, 105, 104]]), torch.tensor([1])
    flip, places, flipped = Augment((name,), 0), [], []
    for draw in range(600):
        window = cut_window(image, boxes, labels, (100, 100), seed=0, draw=draw)
        if len(window[1]):
            places.append((window[1][0, :2] + window[1][0, 2:]) / 2 < 50)
            flipped.append(not torch.equal(flip(*window, draw)[1], window[1]))
    low, often = torch.stack(places), torch.tensor(flipped, dtype=torch.float32)
    for axis in (0, 1):
        apart = often[low[:, axis]].mean() - often[~low[:, axis]].mean()
        assert abs(apart) < 0.15  # of half of them on either side; 0.5 where both go together


# --- augmentation ---


@pytest.mark.parametrize("names", [(n,) for n in ALL] + [ALL])
def test_boxes_still_fit_after_random_changes(scenes, names):
    data = samples(scenes, names)
    changed = 0
    for draw in range(40):
        index = draw % len(data)
        item, plain = data[index, draw], data.plain(index)
        assert item.image.shape == (3, 64, 64)
        assert item.image.dtype == torch.uint8
        assert item.boxes.dtype == torch.float32
        assert len(item.boxes) == len(item.labels)
        assert (item.boxes >= 0).all()
        assert (item.boxes <= 64).all()
        assert (item.boxes[:, 2:] > item.boxes[:, :2]).all()
        changed += not torch.equal(item.image, plain.image)
    assert changed > 5


def test_a_flip_is_exact(scenes):
    data = samples(scenes, ("hflip",))
    plain = data.plain(0)
    flipped = next(
        item for draw in range(20) if not torch.equal((item := data[0, draw]).image, plain.image)
    )
    assert torch.equal(flipped.image, plain.image.flip(-1))
    x1, y1, x2, y2 = plain.boxes.unbind(1)
    torch.testing.assert_close(flipped.boxes, torch.stack([64 - x2, y1, 64 - x1, y2], dim=1))


def test_crops_are_taken_from_twice_the_input_size(scenes):
    """A crop of an image at input size would be enlarged, and blurred, to that size again."""
    refs, truth = scenes  # of 80 x 96
    size = InputSize((32, 40), keep_aspect=False)
    data = samples(scenes, ("iou_crop",), size)
    large = read_resized(refs[0], (64, 80))
    boxes = torch.tensor(truth["image0"].xyxy, dtype=torch.float32)
    boxes = boxes * torch.tensor([80 / 96, 64 / 80, 80 / 96, 64 / 80])
    cropped = 0
    for draw in range(12):
        pixels, _, _ = Augment(("iou_crop",), 0)(large, boxes, torch.tensor([1, 2]), draw)
        assert torch.equal(data[0, draw].image, resize(pixels, (32, 40)))
        cropped += pixels.shape != large.shape
    assert cropped > 2


def test_images_are_kept_no_larger_than_they_are_or_than_is_of_use(scenes):
    small, large = InputSize((32, 40), keep_aspect=False), InputSize((64, 64), keep_aspect=False)
    assert samples(scenes, ("hflip",), small).images[0].shape == (3, 32, 40)
    assert samples(scenes, ("iou_crop",), small).images[0].shape == (3, 64, 80)
    assert samples(scenes, ("iou_crop",), large).images[0].shape == (3, 80, 96)


def test_colours_leave_the_boxes_alone(scenes):
    data = samples(scenes, ("color",))
    for draw in range(5):
        assert torch.equal(data[1, draw].boxes, data.plain(1).boxes)


@pytest.mark.parametrize("zoom", [1.0, 2.0])
def test_a_strip_of_one_pixel_is_not_cropped(tmp_path, zoom):
    path = tmp_path / "strip.png"
    Image.new("RGB", (4000, 20)).save(path)
    ref = ImageRef("a", str(path), 4000, 20, file_digest(path))
    truth = {"a": Boxes.build([(100, 2, 1900, 18)], ["disc"])}
    data = samples(([ref], truth), ("iou_crop",), WINDOW, zoom=zoom)
    for draw in range(20):
        assert data[0, draw].image.shape == (3, 1, 48)


def test_crops_and_zooms_of_images_without_boxes(tmp_path):
    data = samples(drawn(tmp_path, 2, without_boxes=True), ALL)
    for draw in range(20):
        item = data[draw % 2, draw]
        assert item.image.shape == (3, 64, 64)
        assert item.boxes.shape == (0, 4)


def test_draws_differ_and_repeat(scenes):
    one, two = samples(scenes, ALL), samples(scenes, ALL)
    assert torch.equal(one[0, 5].image, two[0, 5].image)
    looks = {one[0, draw].image.numpy().tobytes() for draw in range(8)}
    assert len(looks) > 4


# --- from raw detections to boxes ---

coordinate = st.floats(-50, 150, width=32) | st.just(float("nan")) | st.just(float("inf"))
detection = st.tuples(
    coordinate,
    coordinate,
    coordinate,
    coordinate,
    st.integers(1, 2),
    st.floats(0, 1, width=32),
)


@given(st.lists(detection, max_size=8), st.sampled_from([0.0, 0.05, 0.5]))
@settings(max_examples=80, deadline=None)
def test_any_raw_detections_give_valid_boxes(rows, floor):
    array = np.array(rows, dtype=np.float32).reshape(-1, 6)
    found = to_boxes(
        array[:, :4],
        array[:, 4].astype(int),
        array[:, 5],
        input_size=(100, 100),
        image_size=(40, 60),
        classes=CLASSES,
        score_floor=floor,
    )
    assert len(found) <= len(rows)
    assert (found.xyxy >= 0).all()
    assert (found.xyxy[:, 2] <= 60).all()
    assert (found.xyxy[:, 3] <= 40).all()
    assert (found.scores >= floor).all()
    assert (np.diff(found.scores) <= 0).all()


def test_detections_are_scaled_to_the_image():
    found = to_boxes(
        np.array([[10, 20, 50, 60.0], [0, 0, 100, 100]]),
        np.array([2, 1]),
        np.array([0.25, 0.75]),
        input_size=(100, 100),
        image_size=(200, 300),
        classes=CLASSES,
        score_floor=0.1,
    )
    assert found.labels.tolist() == ["square", "disc"]
    np.testing.assert_allclose(found.xyxy, [[0, 0, 300, 200], [30, 40, 150, 120]])
