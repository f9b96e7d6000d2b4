"""One dream as a film: frames, and what M thought of the chance to die."""

from typing import NamedTuple

import numpy as np
import torch

from worldmodels.models.controller import act
from worldmodels.models.world_model import WorldModel, WorldModelState
from worldmodels.simulators.dreams import DreamOptions, dream_words
from worldmodels.simulators.dropout import with_dropout
from worldmodels.simulators.noise import RowStreams, Words

RENDER_BATCH = 64


class DreamFilm(NamedTuple):
    """A dream of T steps. frames[t] is what was seen when actions[t] was chosen; there is one more frame at the end."""

    frames: np.ndarray  # (T + 1, 64, 64, 3) uint8
    actions: np.ndarray  # (T, A) float32
    death_probabilities: np.ndarray  # (T,) float32, that actions[t] was fatal
    died: bool  # False is a timeout


@torch.inference_mode()
def dream_frames(
    world_model: WorldModel, weights: torch.Tensor, options: DreamOptions, words: Words, rollout: int = 0
) -> DreamFilm:
    """Dream once with one controller (D,) and draw every step.

    It is the dream that `dream_returns` scores for member 0 and this rollout under the same words, up to rounding.
    """
    world_model = with_dropout(world_model, options.dropout)
    sizes = world_model.mdn_rnn.options
    bias = world_model.mdn_rnn.bias
    noise = RowStreams([dream_words(words, 0, rollout)], sizes.latent_size, bias.device, bias.dtype)
    state = world_model.start(noise)
    states: list[WorldModelState] = [state]
    actions: list[torch.Tensor] = []
    logits: list[torch.Tensor] = []
    while len(actions) < options.max_steps and not bool(world_model.done(state)):
        seen = (state.latent, state.cell, state.hidden)
        actions.append(act(weights.to(bias), options.controller, sizes.action_size, *seen))
        state = world_model.step(state, actions[-1], options.temperature, noise)
        states.append(state)
        logits.append(state.death_logit)
    return DreamFilm(
        frames=render_states(world_model, states),
        actions=torch.cat(actions).float().cpu().numpy(),
        death_probabilities=torch.cat(logits).sigmoid().float().cpu().numpy(),
        died=bool(world_model.done(state)),
    )


def render_states(world_model: WorldModel, states: list[WorldModelState]) -> np.ndarray:
    """Frames (N, 64, 64, 3) uint8 of N states of one row each."""
    batches = [states[first : first + RENDER_BATCH] for first in range(0, len(states), RENDER_BATCH)]
    drawn = [world_model.render_latents(torch.cat([state.latent for state in batch])) for batch in batches]
    return torch.cat(drawn).cpu().numpy()
