"""Sets of COCO's, and of formats given for it, as tools export them: ../shared/cases/import."""

from pathlib import Path

import pytest

from boxloop.errors import DatasetError
from boxloop.params import apply_override
from builders_datasets import ids, load

CASES = Path(__file__).parents[2] / ".." / "shared" / "cases" / "import"

READ = {
    "p02_ls_coco_posix": (3, ("cat",), [1, 1, 1]),
    "p08_roboflow_coco": (6, ("cat", "dog"), [1, 1, 1, 1, 1, 1]),
    "c14_cvat_coco": (1, ("cat",), [1]),
    "c09_coco_original": (1, ("dog",), [1]),
    "c15_fiftyone": (1, ("cat",), [1]),
    "c08_coco_unlisted": (1, ("cat",), [1]),
}
"""Number of images, classes, and boxes by image."""

REFUSED = {
    "c05_coco_norm": "in fractions of the image",
    "l02_labelme": "LabelMe.*labelme2coco",
    "l03_cvat_xml": "CVAT for images.*'COCO 1.0'",
    "l04_csv": "CSV.*COCO's JSON",
}
OTHERS = {"c14b_cvat_rot", "d04 + d04_labels", "(make it)"}


def _rows():
    if not CASES.exists():
        return []
    lines = (CASES / "cases.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    return [(row[0], row[2]) for row in rows if "coco" in row[1]]


def _load(folder, settings):
    content = {}
    apply_override(content, settings)
    return load(CASES / folder, "coco", **content["dataset"])


def test_every_case_has_its_test():
    if not CASES.exists():
        pytest.skip("../shared/cases/import is not there")
    assert {folder for folder, _ in _rows()} <= {*READ, *REFUSED, *OTHERS}


@pytest.mark.parametrize("folder", [*READ, *REFUSED, "c14b_cvat_rot"])
def test_a_case(folder):
    settings = dict(_rows()).get(folder)
    if settings is None:
        pytest.skip(f"../shared/cases/import has no {folder}")
    if folder in REFUSED:
        with pytest.raises(DatasetError, match=REFUSED[folder]) as caught:
            _load(folder, settings)
        assert "\n" not in str(caught.value)
    elif folder in READ:
        found = _load(folder, settings)
        count, classes, boxes = READ[folder]
        assert (len(ids(found)), found.images.classes) == (count, classes)
        assert [len(found.truth[name]) for name in ids(found)] == boxes
        assert found.truth[ids(found)[0]].xyxy.tolist() == [[10, 8, 31, 29]]
        unlisted = found.left_out.get("images that dataset.annotations does not list", 0)
        assert unlisted == (2 if folder == "c08_coco_unlisted" else 0)
    else:
        # Its only box is set aside, and with it the only image may be.
        try:
            said = str([fault.detail for fault in _load(folder, settings).faults])
        except DatasetError as error:
            said = str(error)
        assert "is rotated by 90 degrees" in said
