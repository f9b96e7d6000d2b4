"""V and M of World Models (Ha & Schmidhuber 2018) as a simulator of video, beside those that learn frames directly.

Time alignment: a step at time t takes in z_t, of the real frame or as M predicted it, and the action taken there; the memory
then holds the prediction of z_{t+1}: the mean of M's mixture, which has the least squared error. In dreams, M draws from
the mixture instead (simulators/environments.py).

Trained in two stages, as in the paper: V on single frames, then M on samples of what V sees, with V as it is.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodels.config.models import MDNRNNOptions, VAEOptions
from worldmodels.config.vae_mdn_rnn import VAEMDNRNNOptions
from worldmodels.data.windows import Windows
from worldmodels.models.mdn_rnn import MDNRNN, LSTMState, mixture_nll
from worldmodels.models.vae import ConvVAE, sample_latents, vae_loss
from worldmodels.models.video.network import Parts, VideoNetwork


class PredictedLatent(NamedTuple):
    """What it carries from step to step."""

    latent: Tensor  # (B, Z), predicted of the next frame
    hidden: Tensor  # (B, H)
    cell: Tensor  # (B, H)


class VAEMDNRNN(VideoNetwork):
    """V and M. A training changes one of them: `options.learns`."""

    Memory = PredictedLatent

    def __init__(self, options: VAEMDNRNNOptions) -> None:
        super().__init__(options)
        sizes = {"latent_size": options.latent_size, "hidden_size": options.hidden_size, "mixtures": options.mixtures}
        heads = {"restart_input": False, "predict_done": False}
        self.vision = ConvVAE(VAEOptions(latent_size=options.latent_size))
        self.dynamics = MDNRNN(MDNRNNOptions(action_size=options.actions, **sizes, **heads))
        self.complete(nn.Identity(), options.latent_size)
        self.vision.requires_grad_(options.learns == "vision")
        self.dynamics.requires_grad_(options.learns == "memory")

    def initial_state(self, batch: int) -> PredictedLatent:
        """Zeros."""
        latent = self.mean.new_zeros(batch, self.options.latent_size)
        return PredictedLatent(latent, *self.dynamics.initial_state(batch))

    def prepare(self, observations: Tensor, actions: Tensor) -> list[Parts]:
        """See VideoNetwork."""
        latents = self.vision.encode(observations.flatten(0, 1))[0].unflatten(0, actions.shape[:2])  # (B, T, Z)
        pairs = zip(latents.unbind(1), actions.unbind(1), strict=True)
        return [{"latent": latent, "action": action} for latent, action in pairs]

    def take_in(self, parts: Parts, memory: PredictedLatent) -> PredictedLatent:
        """See VideoNetwork."""
        inputs = torch.cat([parts["latent"], parts["action"]], dim=-1)
        hidden, cell = self._step(inputs, memory)
        mixture = self.dynamics.predict(hidden).mixture
        latent = (mixture.log_weights.softmax(-2) * mixture.means).sum(-2)
        return PredictedLatent(latent, hidden, cell)

    def _step(self, inputs: Tensor, memory: PredictedLatent) -> tuple[Tensor, Tensor]:
        """One step of M's LSTM, in products that can be counted: hidden and cell (B, H)."""
        own = self.dynamics
        sums = F.linear(inputs, own.weight_ih, own.bias) + F.linear(memory.hidden, own.weight_hh)
        take, keep, candidate, show = sums.chunk(4, dim=1)
        cell = keep.sigmoid() * memory.cell + take.sigmoid() * candidate.tanh()
        return show.sigmoid() * cell.tanh(), cell

    def imagine(self, memory: PredictedLatent, actions: Tensor, observations: Tensor | None = None) -> PredictedLatent:
        """See VideoNetwork."""
        return self.take_in({"latent": memory.latent, "action": self.one_hot(actions)}, memory)

    def code(self, memory: PredictedLatent) -> Tensor:
        """The predicted latent."""
        return memory.latent

    def pixels(self, codes: Tensor) -> Tensor:
        """V's picture of latents (B, Z), (B, 3, 64, 64) in [0, 1]."""
        return self.vision.decode(codes)

    def losses(self, windows: Windows, steps: int, state: Any) -> tuple[dict[str, Tensor], Any]:
        """V's loss on the frames of `steps` steps, or M's on the steps themselves; and the state after them."""
        observations = self.observations(windows.frames[:, : steps + 1])  # (B, T + 1, 3, 64, 64)
        if self.options.learns == "vision":
            frames = observations[:, :steps].flatten(0, 1)
            noise = torch.randn(len(frames), self.options.latent_size, device=frames.device)
            loss = vae_loss(self.vision(frames, noise), frames, self.options.free_bits)
            return {"frames": loss.reconstruction, "kl": loss.kl}, state
        return self._prediction_loss(observations, self.one_hot(windows.actions[:, :steps]), state)

    def _prediction_loss(
        self, observations: Tensor, actions: Tensor, state: PredictedLatent
    ) -> tuple[dict[str, Tensor], PredictedLatent]:
        """Negative log-density of the next latent, nats per dimension; latents are samples of V's posterior."""
        with torch.no_grad():
            mean, log_variance = self.vision.encode(observations.flatten(0, 1))
            latents = sample_latents(mean, log_variance, torch.randn_like(mean)).unflatten(0, observations.shape[:2])
        memory = LSTMState(state.hidden, state.cell)
        restarts = latents.new_zeros(actions.shape[:2])
        prediction, (hidden, cell) = self.dynamics(latents[:, :-1], actions, restarts, memory)
        nll = mixture_nll(prediction.mixture, latents[:, 1:]).mean()
        return {"nll": nll}, PredictedLatent(latents[:, -1], hidden, cell)


def build(options: VAEMDNRNNOptions) -> VAEMDNRNN:
    """A new one."""
    return VAEMDNRNN(options)
