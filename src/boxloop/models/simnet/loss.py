"""The lifted structured loss of Song et al. 2016 (CVPR, arXiv:1511.06452, equation 4)."""

from __future__ import annotations

from torch import nn

from boxloop import distributed


def lifted_structure_loss(margin: float) -> nn.Module:
    """Build the loss, a function of vectors (M, D) and labels (M,).

    With D the Euclidean distance, P the positive pairs, N the negative pairs and the margin alpha::

        J_ij = log( sum over (i,k) in N of exp(alpha - D_ik)
                  + sum over (j,l) in N of exp(alpha - D_jl) ) + D_ij
        J    = 1 / (2 |P|) * sum over (i,j) in P of max(0, J_ij)^2

    This is pytorch-metric-learning's ``LiftedStructureLoss``. Its
    ``GeneralizedLiftedStructureLoss`` is another one, of Hermans et al. 2017 (arXiv:1703.07737): a
    hinge per element instead of a squared one per pair. The vectors are not normalised to length
    one, which the library does unless told otherwise: the formula takes them as they are, and so
    does the ordering.

    Where processes work together, the batch is that of all of them: the library's wrapper gathers
    the vectors, of equal numbers from each, so that no negative pair is lost, and multiplies the
    loss by the number of processes, because gradients are averaged over them.

    Args:
        margin: alpha; 1 in the paper of Song et al.
    """
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.losses import LiftedStructureLoss
    from pytorch_metric_learning.reducers import MeanReducer

    loss: nn.Module = LiftedStructureLoss(
        neg_margin=margin,
        pos_margin=0,
        distance=LpDistance(normalize_embeddings=False, p=2, power=1),
        reducer=MeanReducer(),
    )
    if distributed.world().size > 1:
        from pytorch_metric_learning.utils.distributed import DistributedLossWrapper

        return DistributedLossWrapper(loss)  # type: ignore[no-any-return]
    return loss
