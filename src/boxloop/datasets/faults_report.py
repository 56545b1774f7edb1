"""Report a dataset's content and faults, to a file or the terminal."""

from __future__ import annotations

from collections import Counter
from typing import Any

from boxloop.datasets.cleaning import Dataset
from boxloop.datasets.faults import Fault, FaultKind
from boxloop.terminal import counted

_EXAMPLES = 3


def faults_payload(dataset: Dataset) -> dict[str, Any]:
    """Return the content of ``faults.json``: totals, counts by kind, and every fault."""
    return {
        "images": len(dataset.images),
        "boxes": sum(_class_counts(dataset).values()),
        "left_out": dict(dataset.left_out),
        "counts": {kind.value: len(faults) for kind, faults in _by_kind(dataset).items()},
        "faults": [
            {
                "kind": fault.kind.value,
                "file": fault.file,
                "image": fault.image_id,
                "detail": fault.detail,
            }
            for fault in dataset.faults
        ],
    }


def faults_summary(dataset: Dataset) -> str:
    """Return totals, what was left out, and examples of each kind of fault."""
    lines = [_totals(dataset)]
    lines += [f"left out: {count:,} {what}" for what, count in dataset.left_out.items()]
    for kind, faults in _by_kind(dataset).items():
        lines.append(f"{kind.value}: {len(faults):,} ({kind.consequence})")
        lines += [f"  {fault.file}: {fault.detail}" for fault in faults[:_EXAMPLES]]
        if len(faults) > _EXAMPLES:
            lines.append(f"  and {len(faults) - _EXAMPLES:,} more")
    return "\n".join(lines)


def labels_summary(dataset: Dataset) -> str | None:
    """Say how many images have boxes already; None where none has."""
    counts = [len(boxes) for boxes in (dataset.truth or {}).values() if len(boxes)]
    if not counts:
        return None
    of_all = "" if len(counts) == len(dataset.images) else f" of {len(dataset.images):,}"
    return f"{len(counts):,}{of_all} images have labels ({counted(sum(counts), 'box')})"


def _totals(dataset: Dataset) -> str:
    images = counted(len(dataset.images))
    if dataset.truth is None:
        return f"{images}, no annotations; classes: {', '.join(dataset.images.classes)}"
    counts = _class_counts(dataset)
    total = sum(counts.values())
    by_class = ", ".join(f"{name} {counts[name]:,}" for name in dataset.images.classes)
    text = f"{images}, {counted(total, 'box')}: {by_class}"
    bare = sum(len(boxes) == 0 for boxes in dataset.truth.values())
    return f"{text}; {bare:,} of the images without any object" if bare else text


def _class_counts(dataset: Dataset) -> Counter[str]:
    found = Counter[str]()
    for boxes in (dataset.truth or {}).values():
        found.update(boxes.labels.tolist())
    return found


def _by_kind(dataset: Dataset) -> dict[FaultKind, list[Fault]]:
    """Group the faults by kind, in the kinds' order of declaration."""
    table = {kind: [fault for fault in dataset.faults if fault.kind is kind] for kind in FaultKind}
    return {kind: faults for kind, faults in table.items() if faults}
