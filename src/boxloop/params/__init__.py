"""params.yaml: its sections, what they can name, and how the file is read."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
