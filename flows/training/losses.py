"""The losses that the settings can name."""

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.losses import (
    BinaryCrossEntropyLoss,
    CachedMultipleNegativesRankingLoss,
    ListNetLoss,
)
from torch import Tensor, nn

from flows.settings import TrainingSettings
from flows.training.rows import Rows

_CERTAIN = 10.0  # ListNet's target is a softmax of the labels: 0 and 10 put 99.9 % and more on the relevant document
_PAIRS_AT_ONCE = 64  # of the cached loss, whose batches can be larger than memory


class ListwiseLoss(ListNetLoss):
    """Softmax cross-entropy over each query's own candidates (Cao et al. 2007), labels being 0 and 1."""

    def forward(
        self,
        inputs: list[list[str] | list[list[str]]],
        labels: list[Tensor],
        prompt: str | None = None,
        task: str | None = None,
    ) -> Tensor:
        """Return the mean loss of the batch; see ListNetLoss."""
        certain = [_CERTAIN * label for label in labels]
        loss: Tensor = super().forward(inputs, certain, prompt=prompt, task=task)
        return loss


def make_loss(model: CrossEncoder, rows: Rows, settings: TrainingSettings) -> nn.Module:
    """Return the loss that `settings` name, for rows of `training_rows`."""
    if settings.loss == "listwise":
        return ListwiseLoss(model, mini_batch_size=-1)  # all pairs of a step at once
    if settings.loss == "cached-mnrl":
        return CachedMultipleNegativesRankingLoss(
            model,
            num_negatives=settings.in_batch_negatives,
            scale=1.0,
            activation_fn=nn.Identity(),
            mini_batch_size=_PAIRS_AT_ONCE,
        )
    weight = (rows.pairs - rows.relevant) / rows.relevant
    return BinaryCrossEntropyLoss(model, pos_weight=torch.tensor(weight))
