"""Object detection networks of the library transformers: RT-DETR v2, D-FINE, RF-DETR, DETR, ...

``train.weights`` names one: a local folder, as the library's ``save_pretrained`` writes it, or its
name on the Hugging Face hub. Installed with ``boxloop[transformers]``.
"""

from boxloop.models.detectors.transformers.detector import FACTORY

__all__ = ["FACTORY"]
