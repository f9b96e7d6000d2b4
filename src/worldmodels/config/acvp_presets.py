"""Named curricula of action-conditional video prediction: each a chain of trainings, of which one starts from the last one's weights.

Learning rates, batch sizes and iterations of Oh et al. are second-hand (notes of readers); the open re-implementation's are
from its code.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from worldmodels.config.acvp import ACVPOptions, CopyLastOptions
from worldmodels.config.simulators import SimulatorTraining
from worldmodels.config.video import convolution

Curriculum = dict[str, SimulatorTraining]
"""Trainings by the name of their stage, in order."""

STEPS = {"1-step": 1, "3-step": 3, "5-step": 5, "5-step-reward": 5}
"""Frames that are predicted in a row, by stage; the last stage adds the reward head."""

REIMPLEMENTATION_CONVOLUTIONS = [
    convolution(64, 8, 3, 3),  # 105x80
    convolution(128, 6, 3, 2),  # 53x40
    convolution(128, 6, 3, 2),  # 27x20
    convolution(128, 4, 2, 1),  # 14x10
]
"""Sizes as with TensorFlow's SAME padding, which puts an odd row of zeros below and not above."""

LAPTOP_CONVOLUTIONS = [convolution(16, 8, 1, 1), convolution(32, 6, 1, 1), convolution(32, 6, 1, 1)]  # 40, 19, 8
LAPTOP_SIZES: dict[str, Any] = {"height": 84, "width": 84, "channels": 1, "subtract": "pixel-mean"}


def recurrent(**changes: Any) -> ACVPOptions:
    """Oh's recurrent network: 90,771,267 parameters with 18 actions."""
    return ACVPOptions(**changes)


def feed_forward(**changes: Any) -> ACVPOptions:
    """Oh's feed-forward network on four frames: 57,245,507."""
    return ACVPOptions(**{"memory": "frames", **changes})


def no_action(**changes: Any) -> ACVPOptions:
    """The baseline naFf: the feed-forward network, with one full layer in the place of the action's transform."""
    return ACVPOptions(**{"memory": "frames", "action": "none", **changes})


def perceptron(**changes: Any) -> ACVPOptions:
    """The baseline MLP: the last frame, layers of 400, 2048, 2048 and 400 units; the action joins after the second."""
    sizes = {"memory": "frames", "stacked_frames": 1, "action": "appended", "convolutions": [], "drawing_channels": []}
    return ACVPOptions(**{**sizes, **changes})


def paper(**changes: Any) -> ACVPOptions:
    """The open re-implementation's model after Oh's paper: action before the LSTM, SAME padding, tanh."""
    own = {"action": "before", "activation": "leaky-relu", "pixels": "tanh", "subtract": "nothing", "forget_bias": 1.0}
    sizes = {"convolutions": REIMPLEMENTATION_CONVOLUTIONS, "drawing_sizes": "halved", "gate_gradient_clip": None}
    return ACVPOptions(**{**own, **sizes, **changes})


def compression(**changes: Any) -> ACVPOptions:
    """The same network, imagining without rendering: the LSTM's output takes the place of the encoder's."""
    return paper(**{"feedback": "hidden", **changes})


MODELS: dict[str, Callable[..., ACVPOptions]] = {
    "acvp-recurrent": recurrent,
    "acvp-feed-forward": feed_forward,
    "acvp-no-action": no_action,
    "acvp-perceptron": perceptron,
    "acvp-paper": paper,
    "acvp-compression": compression,
}
"""By name; each takes changes of options."""


def curriculum(model: ACVPOptions, scale: float = 1.0, **changes: Any) -> Curriculum:
    """Oh's three stages, and the reward's, of one network. scale: factor on all updates. changes: of every stage."""
    unrolled = model.memory == "lstm"
    stages: Curriculum = {}
    for name, steps in STEPS.items():
        first = name == "1-step"
        length = 10 if first and unrolled else steps  # unrolled over 20 frames, of which the last 10 are scored
        settings = {
            "model": model.model_copy(update={"predict_reward": "reward" in name}),
            "continues": not first,
            "updates": max(1, round((1_500_000 if first else 1_000_000) * scale)),
            "batch_size": 4 if unrolled else 32 if first else 8,
            "warm_up": 10 if unrolled else max(1, model.stacked_frames - 1),
            "warm_up_gradient": 10 if unrolled else 0,
            "subsequence": length,
            "scheme": "0%PDT" if first else "first observed",
            "optimiser": "adam",
            "learning_rate": 1e-4 if first else 1e-5,
            "learning_rate_factor": 0.9,
            "learning_rate_factor_every": max(1, round(100_000 * scale)),
            "halve_error": True,
        }
        stages[name] = SimulatorTraining(**{**settings, **changes})
    return stages


def reimplementation(model: ACVPOptions, **changes: Any) -> Curriculum:
    """The same stages at the open re-implementation's lengths; the step size is cut only between stages."""
    stages = curriculum(model, learning_rate_factor=1.0, **changes)
    one_step = 100_000 if model.feedback == "hidden" else 1_000_000
    return {
        name: stage.model_copy(update={"updates": one_step if name == "1-step" else 500_000})
        for name, stage in stages.items()
    }


def laptop(name: str, actions: int = 18) -> Curriculum:
    """84x84 grey frames and an eighth to a quarter of the widths (the perceptron's narrow layers: all of it), Adam with larger
    steps, thousands of updates.

    Each pixel's mean is taken off, as in the laptop training of RES. First weights that keep signals alike help the networks
    of the re-implementation (1 step ahead on Ms Pacman, after half of these updates, 0.573 thousandths, 0.583 with their own) and hurt those that multiply
    factors after the memory (feed-forward: 0.609, and 0.411 with Oh's own), which keep theirs.
    """
    convolutions = {"convolutions": LAPTOP_CONVOLUTIONS, "drawing_channels": [32, 16], "drawing_sizes": "mirrored"}
    if name == "acvp-perceptron":
        convolutions = {}
    units = {"narrow_units": 400, "encoder_units": 256, "hidden_size": 256, "factors": 256}
    first = "paper" if name in ("acvp-recurrent", "acvp-feed-forward", "acvp-no-action") else "he"
    model = MODELS[name](**{**LAPTOP_SIZES, **units, **convolutions, "actions": actions, "first_weights": first})
    stages = curriculum(model, learning_rate_factor=1.0, final_learning_rate_fraction=0.1)
    # An LSTM is scored on 10 frames of each window in the first stage, and steps through 20. Oh's starts slowly: after 1500
    # updates it was still worse than a copy of the last frame.
    first_updates = 6000 if name == "acvp-recurrent" else 3000
    first_stage = (4, first_updates, 1e-3) if model.memory == "lstm" else (16, 2000, 1e-3)
    if name == "acvp-perceptron":
        # With full layers on pixels, steps of 1e-3 stay at the mean frame: 1.01 thousandths 1 step ahead, after 4000 updates
        # too; steps of 3e-4 with batches of 32 had come to 0.63 by then.
        first_stage = (32, 8000, 3e-4)
    sizes = {
        "1-step": first_stage,
        "3-step": (8, 600, 2e-4),
        "5-step": (8, 400, 2e-4),
        # With the steps of the stage before, 200 updates left the new head at its bias.
        "5-step-reward": (8, 600, 5e-4),
    }
    names = ("batch_size", "updates", "learning_rate")
    return {
        stage: training.model_copy(update=dict(zip(names, sizes[stage], strict=True)))
        for stage, training in stages.items()
    }


def curriculum_of(name: str, actions: int = 18) -> Curriculum:
    """The paper-scale curriculum of a model in MODELS."""
    model = MODELS[name](actions=actions)
    own = name in ("acvp-paper", "acvp-compression")
    return reimplementation(model) if own else curriculum(model)


def copy_last(**changes: Any) -> SimulatorTraining:
    """The baseline without parameters: its training writes it and takes no time."""
    return SimulatorTraining(model=CopyLastOptions(**changes), updates=1)


def mean_frame(**changes: Any) -> SimulatorTraining:
    """The other one: the mean of the first frames, for ever. What learns the background and no motion is no better."""
    return copy_last(shows="mean-frame", subtract="pixel-mean", **changes)


CURRICULA: dict[str, Callable[[int], Curriculum]] = {
    **{name: partial(curriculum_of, name) for name in MODELS},
    **{f"{name}-laptop": partial(laptop, name) for name in MODELS},
}
"""By name; each takes the number of actions."""


def stage_of_curriculum(name: str, stage: str, actions: int = 18) -> SimulatorTraining:
    """One stage of one curriculum."""
    return CURRICULA[name](actions)[stage]
