"""What is said about the work that is left."""

from dataclasses import replace

from boxloop.campaign.outlook import hours, outlook_lines
from boxloop.core.edits import Ledger
from boxloop.core.forecast import Interval, forecast
from boxloop.core.workload import BatchWorkload
from boxloop.params import Params, check


def batch(key, added, precision):
    counts = {(0.5, iou): Ledger(added=added) for iou in (0.5, 0.7)}
    return BatchWorkload(key, "simulated", "fcos", 20, 80, 0.5, counts, {"map_50": precision})


DONE = [batch("b00", 80, 0.0), batch("b01", 30, 0.5), batch("b02", 20, 0.7)]


def params(**review):
    return check(Params, {"review": review}, "params.yaml")


def test_time_savings_and_what_the_next_batch_teaches():
    work, better = outlook_lines(DONE, [20, 20], params())
    ahead = forecast(DONE, [20, 20], 0.5, seconds_per_box=35)
    assert work.startswith(f"About {hours(ahead.seconds)} left for 2 batches, at 35 s per box; ")
    saved = [round(100 * v) for v in (ahead.saved.median, ahead.saved.low, ahead.saved.high)]
    assert work.endswith("; {} % ({} to {}) of the time saved at the end (IoU 0.5).".format(*saved))
    assert better.startswith("Proposals reached an AP of 70 on b02; ")


def test_measured_time_needs_no_price():
    done = [replace(b, seconds=400.0, timed_images=20) for b in DONE]
    (work, _) = outlook_lines(done, [20], params())
    assert "left for 1 batch; " in work


def test_images_that_came_with_labels_count_among_those_learned_from():
    work, better = outlook_lines(DONE, [20, 20], params(), 500)
    ahead = forecast(DONE, [20, 20], 0.5, seconds_per_box=35, before=500)
    assert work.startswith(f"About {hours(ahead.seconds)} left for 2 batches")
    assert [work, better] != outlook_lines(DONE, [20, 20], params())


def test_what_is_labeled_already_is_no_work_that_is_left():
    (work, _) = outlook_lines(DONE, [20, 20], params(), 0, [1, 0])
    ahead = forecast(DONE, [20, 20], 0.5, seconds_per_box=35, submitted=[1, 0])
    started = f"About {hours(ahead.seconds)} left for 2 batches, of which 1 image is labeled, at 35"
    assert work.startswith(started)
    (work, _) = outlook_lines(DONE, [20, 20], params(), 0, [20, 20])
    assert work.startswith("No work is left: all 40 images to come are labeled; ")


def test_stopping_is_reasonable_below_the_gain_that_was_asked_for():
    assert len(outlook_lines(DONE, [20], params(stop_gain=0.0))) == 2
    said = outlook_lines(DONE, [20], params(stop_gain=0.5))[-1]
    assert said.startswith("That is less than review.stop_gain (50): stopping is reasonable.")


def test_a_last_batch_without_objects_tells_nothing_of_the_detector():
    """Its proposals have no AP: that of the batch before it stands."""
    bare = replace(DONE[1], batch="b03", objects=0, average_precision={})
    said = outlook_lines([*DONE, bare], [20], params())[1]
    assert said.startswith("Proposals reached an AP of 70 on b02; ")


def test_nothing_is_said_where_nothing_is_known():
    assert outlook_lines([], [20], params()) == []
    assert outlook_lines(DONE, [], params()) == []
    assert len(outlook_lines(DONE[:1], [20], params())) == 1
    other = [replace(DONE[0], ledgers={(0.5, 0.9): Ledger()})]
    assert outlook_lines(other, [20], params()) == []


def test_hours_and_minutes():
    assert hours(Interval(3600 * 2.9, 3600 * 3.4, 3600 * 4.1)) == "3.4 h (2.9 to 4.1)"
    assert hours(Interval(3600 * 9.4, 3600 * 12.5, 3600 * 1200)) == "12 h (9 to 1,200)"
    assert hours(Interval(60, 300, 900)) == "5.0 min (1.0 to 15.0)"
    assert hours(Interval(600, 2400, 9000)) == "40 min (10 to 150)"
