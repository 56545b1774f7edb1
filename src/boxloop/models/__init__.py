"""Networks: features of images, and detectors that learn from labels."""
