"""Recount what people did from a campaign's files, without boxloop, beside its metrics.json.

    python benchmarks/recount.py FOLDER

Reads reviews/, data/batches/ and data/images.json by docs/formats.md alone; the exit code is 1
where a number of metrics.json is another one. Classes that were renamed or merged are not followed,
and metrics.json must be of today (`dvc repro --single-item report` while batches wait).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

KINDS = ("kept", "moved", "relabeled", "removed", "added")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def newest_submissions(root: Path) -> dict[str, dict[str, Any]]:
    """Return by image the submission that counts: the newest that is no second look."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((root / "reviews").glob("[!.]*.json")):
        content = read(path)
        if path.name.endswith(".classes.json") or content.get("look") == "second":
            continue
        for image in content["boxes"]:
            if image not in found or content["finished"] > found[image]["finished"]:
                found[image] = content
    return found


def overlap(a: list[float], b: list[float]) -> float:
    w, h = (max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    return w * h / (sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - w * h)


def count(content: dict[str, Any], image: str, iou: float) -> Counter[str]:
    """Count one image's edits: ids tell what became of a proposal, and IoU whether it moved."""
    final = content["boxes"][image]
    for table in (
        content.get("decided", {}).get("first"),
        content.get("rechecked", {}).get("before"),
    ):
        final = (table or {}).get(image, final)
    shown = {
        box["id"]: box
        for box in content["proposals"]["boxes"][image]
        if box["score"] >= content["score_threshold"] or box["id"].startswith("later:")
    }
    if image in content.get("blind", ()):
        shown = {}
    counts: Counter[str] = Counter(objects=len(final))
    for box in final:
        before = shown.pop(box["id"], None)
        if before is None:
            counts["added"] += 1
        elif before["label"] != box["label"]:
            counts["relabeled"] += 1
        else:
            counts["kept" if overlap(before["xyxy"], box["xyxy"]) >= iou else "moved"] += 1
    counts["removed"] = len(shown)
    return counts


def main(root: Path) -> int:
    if not (root / "metrics.json").exists():
        print(f"{root} has no metrics.json yet: 'dvc repro --single-item report' there writes it")
        return 2
    newest, metrics = newest_submissions(root), read(root / "metrics.json")
    batches = [read(path)["image_ids"] for path in sorted((root / "data/batches").glob("b*.json"))]
    given = {image for image, content in newest.items() if image in content.get("given", ())}
    done = [[i for i in ids if i not in given] for ids in batches if newest.keys() >= set(ids)]
    found: dict[str, Any] = {"batches": len(done), "images": sum(map(len, done))}
    for iou in metrics["wt_reduction"]:
        rows = [sum((count(newest[i], i, float(iou)) for i in ids), Counter()) for ids in done]
        for number, row in enumerate(rows):
            print(
                f"IoU {iou} b{number:02}:", ", ".join(f"{row[k]} {k}" for k in ("objects", *KINDS))
            )
        both = [row["moved"] + row["relabeled"] for row in rows]
        added = sum(r["added"] + b for r, b in list(zip(rows, both, strict=True))[1:])
        removed = sum(r["removed"] + b for r, b in list(zip(rows, both, strict=True))[1:])
        n, first = sum(row["objects"] for row in rows), rows[0]["objects"]
        found |= {"objects": n, "first_batch_objects": first}
        found |= {f"added {iou}": added, f"removed {iou}": removed}
        found[f"wb_reduction {iou}"] = 1 - (first + added + removed) / n
        found[f"wt_reduction {iou}"] = 1 - (first + added + removed / 2) / n
    same = True
    for name, value in found.items():
        key, _, iou = name.partition(" ")
        said = metrics[key][iou] if iou else metrics[key]
        right = abs(value - said) < 1e-9
        same &= right
        print(f"{name:22} {value:>12.6g} {said:>12.6g} {'' if right else 'DIFFERENT'}")
    offered = [(c.get("offered", {}).get(i, c.get("classes"))) for i, c in newest.items()]
    for name in read(root / "data/images.json")["classes"]:
        missing = sum(names is not None and name not in names for names in offered)
        print(f"not complete for {name}: {missing} images")
    return not same


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
