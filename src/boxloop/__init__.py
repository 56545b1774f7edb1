"""boxloop: label a pile of images with a fraction of the boxes drawn by hand.

``import boxloop`` offers what a notebook needs (docs/api.md): the names in ``__init__.pyi``, each
of which is imported when it is first used.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
