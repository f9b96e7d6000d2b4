"""A trained agent as the policy of a data set: it sees the game, chance disturbs it, and some episodes are a random policy's.

With it the paper's iterative procedure (Ha & Schmidhuber 2018, section 5) is one more data set and one more experiment.
"""

import numpy as np
import torch
from torch import Tensor

from worldmodels.config.datasets import AgentPolicy
from worldmodels.config.tasks import TaskOptions
from worldmodels.data.collection import Player, blind_player
from worldmodels.envs.games import Game, frame_maker, load_task
from worldmodels.envs.policies import Policy
from worldmodels.evaluation import DreamerAgent
from worldmodels.models.files import Controller, LoadedWorldModel
from worldmodels.seeds import generator

ALONE = np.ones(1, dtype=bool)


class DisturbedAgent(DreamerAgent):
    """One agent in one game, some of whose decisions another action replaces. M remembers what was done."""

    instead: np.ndarray | None = None  # (A,), the action of the coming step, where it is not the agent's

    def replaced(self, chosen: Tensor) -> Tensor:
        """The actions (1, A) that are taken."""
        return chosen if self.instead is None else torch.from_numpy(self.instead)[None].to(chosen)


def agent_player(
    policy: AgentPolicy, world_model: LoadedWorldModel, controller: Controller, options: TaskOptions
) -> Player:
    """The agent's policy for each episode. All its randomness belongs to the episode, so that shards can be resumed."""
    task = load_task(options.name)
    make_frames = frame_maker(task, options)
    blind = blind_player(policy.random_policy, task)
    agent = DisturbedAgent(world_model, controller, 1, options.max_steps, policy.latent)

    def begin(game: Game, seed: int) -> Policy:
        rng = generator("collect_rollouts", "agent", seed)
        if rng.random() < policy.random_episodes:
            return blind(game, seed)
        agent.reset(0, 0, seed)
        held = 0

        def choose(_step: int) -> np.ndarray:
            nonlocal held
            if held == 0:
                disturbed = rng.random() < policy.epsilon
                agent.instead = (
                    task.action_from_unit(rng.uniform(-1, 1, task.ACTION_SIZE).astype(np.float32))
                    if disturbed
                    else None
                )
                held = int(rng.integers(1, policy.longest_hold + 1)) if disturbed else 1
            held -= 1
            return agent.act(make_frames(game.screen()[None], options.frame_size), ALONE)[0]

        return choose

    return begin
