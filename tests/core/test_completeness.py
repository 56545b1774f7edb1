"""What can be said of images that were reviewed before a class could be chosen."""

from dataclasses import replace

from boxloop.core.box_set import LATER
from boxloop.core.completeness import only_judgeable
from boxloop.core.planted import PlantedError
from builders import boxes, corrections, proposed

PLACES = (("cat", 0, 0, 10, 10, 0.9), ("dog", 20, 0, 30, 10, 0.8), ("cat", 40, 0, 50, 10, 0.7))


def planted(box, label="cat", place=(0, 0, 10, 10)):
    return PlantedError("relabeled", box, box, label, place, 0.9)


def test_errors_that_were_planted_on_what_nothing_is_known_of_are_left_out():
    # A class that could be chosen was made a part of 'dog', which could not.
    made = corrections(
        {"i": proposed(*PLACES), "k": proposed(*PLACES)}, {"i": boxes(), "k": boxes()}
    )
    made = replace(made, classes=("cat",), offered={"k": ("cat", "dog")})
    errors = (planted("p0"), planted("p1", place=(20, 0, 30, 10)))
    known = only_judgeable(replace(made, planted={"i": errors, "k": errors}), ("cat", "dog"))
    assert known.proposals.boxes["i"].ids.tolist() == ["p0", "p2"]
    assert known.planted == {"i": errors[:1], "k": errors}
    alone = only_judgeable(replace(made, planted={"i": errors[1:]}), ("cat", "dog"))
    assert alone.planted == {}


def test_so_are_those_on_proposals_that_came_later():
    offered = proposed(*PLACES)
    ids = offered.ids.astype("U20")
    ids[1] = f"{LATER}b02:0"
    made = corrections({"i": replace(offered, ids=ids)}, {"i": boxes()})
    made = replace(made, planted={"i": (planted(f"{LATER}b02:0"), planted("p2"))})
    assert only_judgeable(made, ("cat", "dog")).planted == {"i": (planted("p2"),)}
