"""Agents that only collect Atari frames: the convolutional network of Mnih et al. 2015, as stable-baselines3 builds it.

A trained agent is a safetensors file that says of itself which game and actions it plays, and which frames it sees.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from worldmodels.config.atari import AgentOptions
from worldmodels.errors import UserError
from worldmodels.runtime.weights import load_weights, read_metadata, save_weights

KIND = "atari-agent"
HIDDEN = 512
FLAT = 64 * 7 * 7


class AtariAgent(nn.Module):
    """Scores of all actions: values where it learned by DQN, logits of its policy where by A2C."""

    def __init__(self, options: AgentOptions) -> None:
        super().__init__()
        self.options = options
        self.cnn = nn.Sequential(
            nn.Conv2d(options.stack, 32, 8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.linear = nn.Sequential(nn.Linear(FLAT, HIDDEN), nn.ReLU())
        self.head = nn.Linear(HIDDEN, len(options.action_codes))

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (B, stack, 84, 84) uint8, the newest last, to scores (B, actions) float32."""
        return self.head(self.linear(self.cnn(frames.float() / 255)))


def save_agent(path: Path, agent: AtariAgent) -> None:
    """Write an agent's file."""
    save_weights(path, agent, KIND, agent.options, {})


def load_agent(path: Path) -> AtariAgent:
    """Read an agent's file. Raises UserError unless it is one."""
    options, _ = read_metadata(path, KIND, AgentOptions)
    agent = AtariAgent(options)
    load_weights(path, agent)
    return agent.eval()


def map_actions(path: Path, agent: AgentOptions, game: str, action_codes: tuple[int, ...]) -> list[int]:
    """For each action of the agent, its index in another action set of the same game.

    Raises UserError when the agent plays another game, or an action that is not in the set.
    """
    if agent.game != game:
        raise UserError(f"{path} is an agent of '{agent.game}', not of '{game}'. Name one that was trained on {game}.")
    missing = set(agent.action_codes) - set(action_codes)
    if missing:
        raise UserError(
            f"{path} plays ALE's actions {sorted(missing)}, which are not in this action set {list(action_codes)}. "
            "Set `actions: full`, or train the agent with `actions: minimal`."
        )
    return [action_codes.index(code) for code in agent.action_codes]


@torch.inference_mode()
def choose_actions(agent: AtariAgent, frames: Tensor, uniforms: Tensor) -> Tensor:
    """Actions (B,): the best by value, or drawn from the policy by the numbers `uniforms` (B,) in [0, 1)."""
    scores = agent(frames)
    if agent.options.algorithm == "dqn":
        return scores.argmax(dim=1)
    cumulative = scores.double().softmax(dim=1).cumsum(dim=1)
    return (uniforms[:, None] >= cumulative).sum(dim=1).clamp(max=scores.shape[1] - 1)
