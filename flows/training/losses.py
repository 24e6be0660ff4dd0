"""The losses that the settings can name."""

from collections.abc import Sequence

import numpy as np
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.losses import (
    BinaryCrossEntropyLoss,
    CachedMultipleNegativesRankingLoss,
    LambdaLoss,
    NDCGLoss2PPScheme,
)
from sentence_transformers.util import batch_to_device
from torch import Tensor, nn
from torch.nn import functional

from flows.settings import TrainingSettings
from flows.training.rows import Rows

_PAIRS_AT_ONCE = 64  # of the cached loss, whose batches can be larger than memory
_PAIRS_OF_A_LENGTH = 16  # forwarded together: few enough to be alike in length, enough to keep the processor busy


class ListwiseLoss(nn.Module):
    """Softmax cross-entropy over each query's own candidates, each one's target being its share of the list's gain.

    ListNet (Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach", ICML 2007) with the gains
    themselves instead of their exponentials, so that what gains nothing gets nothing. The pairs of a step are
    forwarded by length: within one list the longest document is often many times the shortest, and padding all to
    it costs a third of the time.
    """

    def __init__(self, model: CrossEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        inputs: tuple[Sequence[str], Sequence[Sequence[str]]],
        labels: Sequence[Tensor],
        prompt: str | None = None,
        task: str | None = None,
    ) -> Tensor:
        """Return the mean loss of the lists.

        Args:
            inputs: Queries, and for each its documents; lists may differ in length.
            labels: Gain of each document, 0 or more, with at least one above 0 in each list.
            prompt: As the trainer passes it to the model's preprocessing.
            task: The same.
        """
        queries, lists = inputs
        pairs = [(query, document) for query, documents in zip(queries, lists, strict=True) for document in documents]
        scores = torch.split(self._scores(pairs, prompt, task), [len(documents) for documents in lists])
        losses = [self._of_list(score, gain.to(score)) for score, gain in zip(scores, labels, strict=True)]
        return torch.stack(losses).mean()

    def get_config_dict(self) -> dict[str, object]:
        """Return what the model card tells of the loss."""
        return {}

    def _scores(self, pairs: Sequence[tuple[str, str]], prompt: str | None, task: str | None) -> Tensor:
        """Return the logits of all pairs in their order, computed in order of length."""
        order = np.argsort([len(query) + len(document) for query, document in pairs], kind="stable")
        parts = np.array_split(order, max(1, round(len(pairs) / _PAIRS_OF_A_LENGTH)))
        logits = []
        for part in parts:
            tokens = self.model.preprocess([pairs[i] for i in part], prompt=prompt, task=task)
            logits.append(self.model(batch_to_device(tokens, self.model.device))["scores"].view(-1).float())
        return torch.cat(logits)[torch.from_numpy(np.argsort(order))]

    @staticmethod
    def _of_list(scores: Tensor, gains: Tensor) -> Tensor:
        return -(gains / gains.sum() * functional.log_softmax(scores, dim=0)).sum()


def make_loss(model: CrossEncoder, rows: Rows, settings: TrainingSettings) -> nn.Module:
    """Return the loss that `settings` name, for rows of `training_rows`."""
    if settings.loss == "listwise":
        return ListwiseLoss(model)
    if settings.loss == "lambda":
        return LambdaLoss(model, weighting_scheme=NDCGLoss2PPScheme(), mini_batch_size=_PAIRS_AT_ONCE)
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
