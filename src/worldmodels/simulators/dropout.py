"""A world model whose M sees a part of each latent, as in the dreams of variants with `dropout` (Wellmer & Kwok 2021)."""

from dataclasses import replace

import torch

from worldmodels.models.world_model import RowNoise, WorldModel, WorldModelState
from worldmodels.simulators.dreams import dropout_factors


class OneDraw:
    """A draw that was already made, as the source of a simulator's random numbers."""

    def __init__(self, uniform: torch.Tensor, normal: torch.Tensor) -> None:
        self.uniform, self.normal = uniform, normal  # (B, size) each

    def __len__(self) -> int:
        return len(self.uniform)

    def draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The draw."""
        return self.uniform, self.normal


class DropoutWorldModel(WorldModel):
    """`model`, with a share of the latent's numbers hidden from M at every step of its dreams; C and V see all of them."""

    def __init__(self, model: WorldModel, share: float) -> None:
        super().__init__(model.vae, model.mdn_rnn, model.starts)
        self.share = share

    @torch.no_grad()
    def step(self, state: WorldModelState, action: torch.Tensor, temperature: float, rng: RowNoise) -> WorldModelState:
        """Imagine one step with actions (B, A) in [-1, 1]. Takes one draw, which also says what M does not see."""
        draw = OneDraw(*rng.draw())
        seen = replace(state, latent=state.latent * dropout_factors(draw.uniform, self.share))
        return super().step(seen, action, temperature, draw)


def with_dropout(model: WorldModel, share: float) -> WorldModel:
    """`model` itself where nothing is hidden."""
    return DropoutWorldModel(model, share) if share else model
