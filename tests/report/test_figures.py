"""What stands on the axes of the report's figures."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from boxloop.report.figures import percent_axis


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
