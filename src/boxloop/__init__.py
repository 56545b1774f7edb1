"""boxloop: label a pile of images with a fraction of the boxes drawn by hand."""

__version__ = "0.2.0"
