"""How the demo trains: short texts and few minutes, so steeper than the settings' own recipe."""

from collections.abc import Mapping
from typing import Literal

from flows.settings import Settings, TrainingSettings

Cycle = Literal[1, 2]

TRAINING: Mapping[Cycle, TrainingSettings] = {
    1: TrainingSettings(epochs=1.4, max_minutes=5, max_length=64, learning_rate=2e-4),
    2: TrainingSettings(window_days=15, epochs=1.5, max_minutes=4, max_length=64, learning_rate=2e-4, validations=2),
}
"""The first challenger starts from bi-encoder weights and learns from everything, the second from the first champion
and learns from what came since."""


def demo_settings(settings: Settings) -> Settings:
    """Return the settings with the second cycle's training, for the stack of the demo; what the user chose stays.

    The second cycle is started by an automation, which knows of no settings: its run has those of the stack. The
    first is started by the demo, which passes its own along.
    """
    chosen = {name: getattr(settings.training, name) for name in settings.training.model_fields_set}
    return settings.model_copy(update={"training": TRAINING[2].model_copy(update=chosen)})
