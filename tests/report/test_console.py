"""What a terminal shows of a campaign."""

from dataclasses import replace

from boxloop.campaign.results import CampaignResults
from boxloop.core.edits import Ledger
from boxloop.core.forecast import forecast
from boxloop.core.types import NOTHING, FittedThreshold
from boxloop.core.workload import BatchWorkload
from boxloop.report.console import forecast_rows, workload_text


def test_batches_to_come_are_forecast_until_the_last():
    counts = {(0.5, iou): Ledger(added=20, removed=4) for iou in (0.5, 0.7)}
    done = tuple(
        BatchWorkload(key, "simulated", "fcos", 20, 80, 0.5, counts, {}) for key in ("b00", "b01")
    )
    planned = ("b00", "b01", "b02", "b03")
    campaign = CampaignResults(done, planned, (0.5, 0.7), 35.0, coming=(30, 40))
    ahead = forecast(done, (30, 40), 0.5, seconds_per_box=35.0)
    lines = workload_text(campaign).splitlines()
    title = "Expected of the batches to come, at IoU 0.5 (4 of 5 times)"
    rows = [line.split() for line in lines[lines.index(title) :] if line.startswith(" b")]
    assert [row[:2] for row in rows] == [["b02", "30"], ["b03", "40"]]
    for row, batch in zip(rows, ahead.batches, strict=True):
        said = [batch.objects, batch.added, batch.removed, batch.wt]
        assert row[2::2] == [f"{number.median:,.0f}" for number in said]
        assert row[3::2] == [f"({number.low:,.0f}-{number.high:,.0f})" for number in said]
    assert title not in workload_text(CampaignResults(done, planned[:2], (0.5, 0.7), 35.0))


def test_a_forecast_counts_images_that_came_with_labels():
    counts = {(0.5, 0.5): Ledger(added=20, removed=4)}
    done = tuple(BatchWorkload(k, "a", "fcos", 20, 80, 0.5, counts, {}) for k in ("b00", "b01"))
    campaign = CampaignResults(done, ("b00", "b01", "b02"), (0.5,), 35.0, coming=(90,))
    (bare,), (trusted,) = (forecast_rows(c) for c in (campaign, replace(campaign, given=(500, 1))))
    expected = forecast(done, (90,), 0.5, seconds_per_box=35.0, before=500).batches[0].wt
    assert trusted[-1].startswith(f"{expected.median:,.0f} (")
    assert trusted != bare


def test_a_first_batch_whose_labels_were_given_is_no_hindrance_to_a_forecast():
    counts, nothing = {(0.5, 0.5): Ledger(added=20, removed=4)}, {(0.5, 0.5): Ledger()}
    first = BatchWorkload("b00", "given", "labels", 0, 0, 0.5, nothing, {}, given_images=20)
    done = (
        first,
        *(BatchWorkload(k, "fiftyone", "fcos", 20, 80, 0.5, counts, {}) for k in ("b01", "b02")),
    )
    campaign = CampaignResults(done, ("b00", "b01", "b02", "b03"), (0.5,), 35.0, coming=(30,))
    text = workload_text(campaign)
    assert "Expected of the batches to come" in text
    assert " b03         30 " in text


def test_of_many_batches_the_last_are_shown_and_the_totals_of_all():
    counts = {(NOTHING, 0.5): Ledger(added=20)}
    nothing = (FittedThreshold(0.5, NOTHING, 0.0, "b00"),)
    done = tuple(
        BatchWorkload(
            f"b{n:02d}", "simulated", "fcos", 20, 20, NOTHING, counts, {}, thresholds=nothing
        )
        for n in range(30)
    )
    keys = tuple(workload.batch for workload in done)
    lines = workload_text(CampaignResults(done, keys, (0.5,), 35.0)).splitlines()
    for title in (
        "Workload, a proposal counting as right from IoU 0.5 (the last 20 of 30)",
        "Proposals shown, from a score fitted to each batch (the last 20 of 30)",
    ):
        rows = lines[lines.index(title) :]
        rows = rows[: rows.index("", 2)]
        assert [row.split()[0] for row in rows if row.startswith(" b")] == list(keys[10:])
    assert next(line.split()[:3] for line in lines if line.startswith(" all")) == [
        "all",
        "600",
        "600",
    ]
    few = workload_text(CampaignResults(done[:20], keys[:20], (0.5,), 35.0))
    assert " b00 " in few
    assert "the last" not in few


def corrected(ledger):
    """What is said of a first batch of 10 objects that was corrected from another model's boxes."""
    counts = {(0.5, 0.5): ledger}
    done = (BatchWorkload("b00", "fiftyone", "file", 4, 10, 0.5, counts, {}),)
    return workload_text(CampaignResults(done, ("b00",), (0.5,), 35.0)).replace("\n", " ")


def test_a_loss_by_correcting_the_first_batch_is_called_one():
    assert "60.0 % WB and 60.0 % WT are saved at IoU 0.5" in corrected(Ledger(kept=6, added=4))
    lost = corrected(Ledger(removed=20, added=10))
    assert "it is 200.0 % more work by WB and 100.0 % more work by WT at IoU 0.5" in lost
    mixed = corrected(Ledger(removed=9, added=5))
    assert "it is 40.0 % more work by WB and 5.0 % saved by WT at IoU 0.5" in mixed
