"""Mixture-density LSTM of World Models (Ha & Schmidhuber 2018, section 2.2 and appendix A.2).

Time alignment: the input at t is (z_t, a_t, restart_t), where restart_t = 1 on the first frame of an episode;
the output is the density of z_{t+1} and the logit of "a_t was fatal". Where restart_t = 1, the LSTM's state is
zeroed first.

The density is factored: every latent dimension has K Gaussians and K weights of its own.

Layout of the head's outputs: K * Z log-weights, then K * Z means, then K * Z log-sigmas, each with the component
as the slower index, then the reward if it is predicted, then the death logit. So a component of all latent dimensions lies in one piece of memory.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodels.config.models import MDNRNNOptions

MIN_LOG_SIGMA = -7.0
"""Floor of log-sigma, in densities and samples alike."""


class MixtureParameters(NamedTuple):
    """K Gaussians for each of Z latent dimensions."""

    log_weights: Tensor  # (..., K, Z), up to a constant per dimension
    means: Tensor  # (..., K, Z)
    log_sigmas: Tensor  # (..., K, Z)


class LSTMState(NamedTuple):
    """Memory of M: the state in which it consumes the next input."""

    hidden: Tensor  # (B, H)
    cell: Tensor  # (B, H)


class Prediction(NamedTuple):
    """What M says about the next step."""

    mixture: MixtureParameters  # (..., K, Z) each
    done_logit: Tensor | None  # (...), > 0 where death is more likely than not; None without a death head
    reward: Tensor | None = None  # (...) expected; None without a reward head


def input_size(options: MDNRNNOptions) -> int:
    """Numbers in an input of the LSTM: [z, a, restart]."""
    return options.latent_size + options.action_size + options.restart_input


def output_size(options: MDNRNNOptions) -> int:
    """Numbers in an output of the head: [log-weights, means, log-sigmas, reward, death logit]."""
    return 3 * options.mixtures * options.latent_size + options.predict_reward + options.predict_done


class MDNRNN(nn.Module):
    """Predicts the next latent and death. 1,678,785 parameters for Doom: one bias vector, where torch has two.

    Gates are ordered input, forget, candidate, output.
    """

    weight_ih: Tensor  # (4H, I)
    weight_hh: Tensor  # (4H, H)
    bias: Tensor  # (4H,)

    def __init__(self, options: MDNRNNOptions) -> None:
        super().__init__()
        self.options = options
        hidden = options.hidden_size
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden, input_size(options)))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.bias = nn.Parameter(torch.empty(4 * hidden))
        self.head = nn.Linear(hidden, output_size(options))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot weights, zero biases, and a forget bias of 1, so that an untrained memory keeps what it has."""
        for weight in (self.weight_ih, self.weight_hh, self.head.weight):
            nn.init.xavier_uniform_(weight)
        hidden = self.options.hidden_size
        with torch.no_grad():
            self.bias.zero_()[hidden : 2 * hidden] = 1
            self.head.bias.zero_()

    def initial_state(self, batch: int) -> LSTMState:
        """The state of no memory, zeros (B, H)."""
        zeros = self.bias.new_zeros(batch, self.options.hidden_size)
        return LSTMState(zeros, zeros.clone())

    def forward(
        self, latents: Tensor, actions: Tensor, restarts: Tensor, state: LSTMState | None = None
    ) -> tuple[Prediction, LSTMState]:
        """Consume T steps of B streams.

        latents (B, T, Z), actions (B, T, A), restarts (B, T) of 0 and 1; `state` is what the last chunk left behind.
        Returns predictions with leading axes (B, T) and the state after the last step.
        """
        check_inputs(self.options, latents, actions, restarts)
        parts = [latents, actions, restarts[..., None].to(latents)]
        inputs = torch.cat(parts if self.options.restart_input else parts[:2], dim=-1)  # (B, T, I)
        hidden, state = self.recur(inputs, restarts, state or self.initial_state(len(latents)))
        return self.predict(hidden), state

    def recur(self, inputs: Tensor, restarts: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Run the LSTM over inputs (B, T, I); returns hidden states (B, T, H) and the last state.

        The chunk is cut where any stream restarts, and each piece runs in torch's fused LSTM: exact, and nearly as
        fast as the whole chunk would be.
        """
        hidden, cell = state
        pieces = []
        cuts = restart_columns(restarts)
        for first, last in zip(cuts, [*cuts[1:], inputs.shape[1]], strict=True):
            keep = 1 - restarts[:, first, None].to(inputs)  # (B, 1)
            piece, hidden, cell = self._lstm(inputs[:, first:last], hidden * keep, cell * keep)
            pieces.append(piece)
        return torch.cat(pieces, dim=1), LSTMState(hidden, cell)

    def _lstm(self, inputs: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights = [self.weight_ih, self.weight_hh, self.bias, torch.zeros_like(self.bias)]
        options = (True, 1, 0.0, self.training, False, True)  # biases, layers, dropout, train, two ways, batch first
        outputs, last_hidden, last_cell = torch.lstm(inputs, (hidden[None], cell[None]), weights, *options)
        return outputs, last_hidden[0], last_cell[0]

    def predict(self, hidden: Tensor) -> Prediction:
        """Read mixtures and death logits out of hidden states (..., H)."""
        return split_outputs(self.head(hidden), self.options)


def check_inputs(options: MDNRNNOptions, latents: Tensor, actions: Tensor, restarts: Tensor) -> None:
    """Raise ValueError unless the shapes are (B, T, Z), (B, T, A) and (B, T)."""
    wanted = (*restarts.shape, options.latent_size), (*restarts.shape, options.action_size)
    if restarts.ndim != 2 or (latents.shape, actions.shape) != wanted:
        raise ValueError(
            f"latents {tuple(latents.shape)}, actions {tuple(actions.shape)} and restarts {tuple(restarts.shape)} "
            f"must be (B, T, {options.latent_size}), (B, T, {options.action_size}) and (B, T)"
        )


def restart_columns(restarts: Tensor) -> list[int]:
    """Steps at which a chunk (B, T) is cut: 0, and every step at which some stream restarts."""
    restarted = restarts.bool().any(dim=0)  # (T,)
    restarted[0] = True
    return restarted.nonzero()[:, 0].tolist()


def split_outputs(outputs: Tensor, options: MDNRNNOptions) -> Prediction:
    """View the head's outputs (..., 3KZ + heads) as mixtures (..., K, Z), a death logit (...) and a reward (...)."""
    size = options.mixtures * options.latent_size
    shape = (options.mixtures, options.latent_size)
    fields = (outputs[..., index * size : (index + 1) * size].unflatten(-1, shape) for index in range(3))
    return Prediction(
        MixtureParameters(*fields),
        done_logit=outputs[..., -1] if options.predict_done else None,
        reward=outputs[..., 3 * size] if options.predict_reward else None,
    )


def mixture_nll(mixture: MixtureParameters, target: Tensor) -> Tensor:
    """Negative log-density of each latent dimension, in nats (equation of appendix A.2).

    target: (..., Z). Returns (..., Z). Log-sigmas are floored at MIN_LOG_SIGMA, without which a constant
    dimension sends the loss to minus infinity.
    """
    log_sigmas = mixture.log_sigmas.clamp(min=MIN_LOG_SIGMA)
    deviations = (target.unsqueeze(-2) - mixture.means) * torch.exp(-log_sigmas)  # (..., K, Z)
    log_densities = mixture.log_weights - log_sigmas - 0.5 * deviations.square()
    log_total = mixture.log_weights.logsumexp(-2)  # (..., Z): normalises the weights
    return log_total - log_densities.logsumexp(-2) + 0.5 * math.log(2 * math.pi)


def sample_mixture(mixture: MixtureParameters, temperature: float, uniform: Tensor, normal: Tensor) -> Tensor:
    """Draw every latent dimension (..., Z) from its own mixture at `temperature` (appendix A.2).

    The logits of the weights are divided by the temperature, and sigmas are multiplied by its square root.
    uniform (..., Z) in [0, 1) chooses the component, standard normal (..., Z) the place in it.
    """
    component = choose_components(mixture.log_weights, temperature, uniform)[..., None, :]  # (..., 1, Z)
    means = mixture.means.gather(-2, component).squeeze(-2)
    log_sigmas = mixture.log_sigmas.gather(-2, component).squeeze(-2)
    sigmas = log_sigmas.clamp_(min=MIN_LOG_SIGMA).exp_()
    return torch.add(means, sigmas.mul_(normal), alpha=math.sqrt(temperature))


def choose_components(log_weights: Tensor, temperature: float, uniform: Tensor) -> Tensor:
    """Index (..., Z) of the component that `uniform` (..., Z) falls on, by running sums of the weights."""
    sums = (log_weights / temperature).softmax(-2).cumsum(-2)  # (..., K, Z)
    threshold = (uniform * sums[..., -1, :]).unsqueeze(-2)  # (..., 1, Z): rounding may have left the total below 1
    # >=, so that a component of weight 0 is not taken by a uniform of exactly 0.
    return (threshold >= sums[..., :-1, :]).sum(-2)


def done_loss(logits: Tensor, fatal: Tensor, weight: float) -> Tensor:
    """Cross-entropy of the death head, (...) in nats; fatal steps count `weight` times (released code: 10).

    logits, fatal: (...). Deaths are one step in hundreds: unweighted, the head never learns them.
    """
    return F.binary_cross_entropy_with_logits(logits, fatal, reduction="none") * (1 + (weight - 1) * fatal)
