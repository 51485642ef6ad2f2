"""Channel-wise distillation (Shu et al., 2021, "Channel-wise Knowledge Distillation for Dense Prediction",
section 3.2)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from mmseg.models.layers.resize import at_least_float32


def channel_wise_divergence(student: Tensor, teacher: Tensor, tau: float = 4.0) -> Tensor:
    """Divergence between two maps whose channels are softened to distributions over the positions.

    Of each channel ``p = softmax(map / tau)`` over its positions; the divergence is the sum of
    ``p_t * (log p_t - log p_s)``, times ``tau ** 2``, averaged over images and channels.

    Args:
        student, teacher: Maps (N, C, h, w) of equal shape; from half precision on they are float32. A
            gradient flows into both; take the teacher's under ``torch.no_grad()``.
        tau: Temperature; the higher, the softer.

    Returns:
        A scalar, at least 0.
    """
    n, channels = student.shape[:2]
    log_student, log_teacher = (
        F.log_softmax(at_least_float32(x).flatten(2) / tau, dim=2) for x in (student, teacher)
    )
    divergence = F.kl_div(log_student, log_teacher, reduction="sum", log_target=True)
    return divergence * (tau**2 / (n * channels))
