"""The files between the stages: the only modules that read and write them.

``docs/formats.md`` describes each format for other programs.
"""

from boxloop.campaign.artifacts.read_write import (
    create_corrections,
    read_batch,
    read_corrections,
    read_features,
    read_images,
    read_labeled,
    read_order,
    read_proposals,
    read_truth,
    read_workload,
    write_batch,
    write_batches,
    write_corrections,
    write_features,
    write_images,
    write_labeled,
    write_order,
    write_proposals,
    write_truth,
    write_workload,
)
from boxloop.campaign.artifacts.schemas import faults_of
from boxloop.files import (
    atomic_path,
    create_json,
    file_digest,
    read_json,
    require_writable,
    write_json,
    write_text,
)

__all__ = [
    "atomic_path",
    "create_corrections",
    "create_json",
    "faults_of",
    "file_digest",
    "read_batch",
    "read_corrections",
    "read_features",
    "read_images",
    "read_json",
    "read_labeled",
    "read_order",
    "read_proposals",
    "read_truth",
    "read_workload",
    "require_writable",
    "write_batch",
    "write_batches",
    "write_corrections",
    "write_features",
    "write_images",
    "write_json",
    "write_labeled",
    "write_order",
    "write_proposals",
    "write_text",
    "write_truth",
    "write_workload",
]
