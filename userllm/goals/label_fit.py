"""How fitting a user encoder as a method ends: with a label head, if the task asks for labels."""

from __future__ import annotations

from benchmark.protocols import FitContext, TrainingData
from benchmark.types import FitReport, StageReport
from userllm.config import LabelHeadSettings
from userllm.encoder.event_encoder import EventEncoder
from userllm.goals.label_head import LabelModel, fit_label_head, label_goal
from userllm.trainable import all_parameters, trained_parameters


def finish_fit(
    encoder: EventEncoder,
    stages: tuple[StageReport, ...],
    settings: LabelHeadSettings,
    data: TrainingData,
    context: FitContext,
) -> tuple[LabelModel | None, FitReport]:
    """Puts a head on the encoder and trains it, if a goal asks for labels; reports all stages.

    Args:
        encoder: Trained to predict next items; may change with the head.
        stages: That trained it.
        settings: Of the head.
        data: What the goal's positions are positions in.
        context: What the harness handed over.

    Returns:
        The encoder with its head, None where nobody asks for labels, and the report.
    """
    goal = label_goal(context.goals)
    if goal is None:
        size = all_parameters(encoder)
        return None, FitReport(stages, size, size)
    fitted = fit_label_head(
        encoder,
        goal,
        data.events,
        settings,
        seed=context.seed,
        progress=context.progress,
        validate=lambda model: context.validate(model)[context.watch],
        accelerator=context.accelerator,
        checkpoints=context.checkpoints,
        key=f"{data.fingerprint} {context.validation}",
    )
    size, trained = all_parameters(fitted.model), trained_parameters(fitted.model)
    return fitted.model, FitReport((*stages, *fitted.stages), size, trained, (fitted.note,))
