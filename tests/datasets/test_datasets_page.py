"""What docs/datasets.md shows runs as it stands there."""

import re
from pathlib import Path

from builders_datasets import ids, image, load, text

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"


def test_a_table_becomes_cocos_json(tmp_path, monkeypatch):
    rows = ["a.jpg,40,30,cat,10,8,31,29", "b.jpg,40,30,dog,1,2,3,4", "a.jpg,40,30,dog,1,2,5,9"]
    text(
        tmp_path / "labels.csv",
        "\n".join(["filename,width,height,class,xmin,ymin,xmax,ymax", *rows]),
    )
    for name in "ab":
        image(tmp_path / f"{name}.jpg")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "page", "exec"), {})
    found = load(tmp_path, "coco", annotations="labels.json")
    assert ids(found) == ["a", "b"]
    assert found.truth["a"].xyxy.tolist() == [[10, 8, 31, 29], [1, 2, 5, 9]]
    assert found.truth["a"].labels.tolist() == ["cat", "dog"]
