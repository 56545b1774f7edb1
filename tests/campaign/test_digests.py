"""Digests tell datasets apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from boxloop.campaign import artifacts, digests
from boxloop.core.types import ImageSet
from builders_campaign import build_campaign, small_params


def test_the_fingerprint_tells_datasets_apart(tmp_path: Path) -> None:
    params = small_params(1)
    paths = build_campaign(tmp_path, params)
    before = digests.dataset_digest(paths)
    images = artifacts.read_images(paths.images)
    repainted = replace(images.images[0], digest="0" * 64)
    artifacts.write_images(paths.images, ImageSet((repainted, *images.images[1:]), images.classes))
    assert digests.dataset_digest(paths) != before
