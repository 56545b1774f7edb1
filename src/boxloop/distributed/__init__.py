"""Processes that share one command's work, on one machine or on many.

Where they exchange tensors, the engine is PyTorch's own: its elastic launcher (torchrun) starts the
processes and ends all of them where one fails, and ``torch.distributed`` sends data between them,
by NCCL between GPUs and by Gloo between CPUs. ``--processes N`` launches N on this machine; started
by ``torchrun`` itself, a command joins the processes of all its machines (docs/distribution.md).

Jobs that need not talk to each other run on the workers of Dask: ``jobs`` gives them out,
``places`` has the workers, here or elsewhere, and ``performing`` is what goes on in one of them. Of
these and of PyTorch, nothing is imported before it is used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
