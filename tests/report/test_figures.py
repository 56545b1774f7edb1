"""What stands on the axes of the report's figures."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from boxloop.campaign.results import CampaignResults
from boxloop.core.edits import Ledger
from boxloop.core.workload import BatchWorkload
from boxloop.report import build, figures
from boxloop.report.figures import percent_axis
from builders_campaign import small_params


@pytest.mark.parametrize("reach", [0.0004, 0.004, 0.02, 0.09, 0.11, 0.5, 0.9, 10])
def test_no_two_ticks_of_an_axis_in_percent_read_the_same(reach: float) -> None:
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [-reach / 2, reach])
    percent_axis(axes)
    figure.draw_without_rendering()
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert len(set(labels)) == len(labels) > 2
    assert all(label.endswith("%") for label in labels)


def simulated(removed: dict[float, dict[float, int]]) -> CampaignResults:
    """Two batches of ten objects; of the second, wrong proposals by IoU and score threshold."""
    drawn = {(0.5, iou): Ledger(added=10) for iou in removed}
    edits = {
        (score, iou): Ledger(added=10, removed=wrong)
        for iou, by_score in removed.items()
        for score, wrong in by_score.items()
    }
    batches = [
        BatchWorkload(key, "simulated", detector, 2, 10, 0.5, ledgers, {})
        for key, detector, ledgers in (("b00", "empty", drawn), ("b01", "ssd", edits))
    ]
    return CampaignResults(tuple(batches), ("b00", "b01"), tuple(removed), 1.0)


@pytest.mark.parametrize(
    ("removed", "words"),
    [
        # A wrong proposal costs half a box, of 20: none of these saves anything.
        ({0.5: {0.3: 20, 0.5: 10}}, "from one score on. The"),
        ({0.5: {0.3: 200, 0.5: 10}}, "from one score on; losses beyond 100 % are cut off. The"),
        ({0.5: {0.3: 200, 0.5: 100}}, "from one score on; losses beyond 280 % are cut off. The"),
        (
            {0.5: {0.3: 60, 0.5: 0}, 0.7: {0.3: 400, 0.5: 120}},
            "from one score on; losses beyond 330 % are cut off. The",
        ),
    ],
)
def test_every_line_of_the_thresholds_is_seen(
    removed: dict[float, dict[float, int]], words: str
) -> None:
    campaign = simulated(removed)
    axes = Figure().subplots()
    figures.what_if.__wrapped__(axes, campaign, None)  # type: ignore[attr-defined]
    low, high = axes.get_ylim()
    assert low < 0 < high
    for line in axes.get_lines()[: len(removed)]:
        assert any(low < value < high for value in line.get_ydata())
    picture = build._figures(campaign, small_params(2))[-1]
    assert words in picture.caption
