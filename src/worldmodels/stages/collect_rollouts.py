"""Collect one shard of rollouts: whole episodes of the data set's policy in the real environment."""

import importlib
from pathlib import Path
from typing import ClassVar

from worldmodels.config.blocks import CollectRolloutsBlock
from worldmodels.config.datasets import AgentPolicy, ShardOptions
from worldmodels.config.job import stage_modules
from worldmodels.data.collection import Player, blind_player, collect_shard
from worldmodels.envs.games import load_task
from worldmodels.stages.stage import Shard, Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage


class CollectRollouts(Stage):
    """Options of collect_rollouts. The agent's files are needed where the data set's policy is one."""

    Block: ClassVar = CollectRolloutsBlock

    output: Path = output_file("The shard to write, HDF5")
    shard: Shard
    vae: Path | None = input_file("The agent's VAE", default=None)
    mdn_rnn: Path | None = input_file("The agent's M", default=None)
    controller: Path | None = input_file("The agent's controller, JSON", default=None)

    def modules(self) -> list[str]:
        """The stage and the task that it plays; V, M and C only where an agent plays."""
        return stage_modules(self.name(), self.block())

    def run(self) -> None:
        """Play until enough episodes are kept."""
        options = ShardOptions(**self.block().model_dump())
        collect_shard(self.output, self.shard, options, self.state, self._player(options))

    def _player(self, options: ShardOptions) -> Player:
        policy = options.policy
        if not isinstance(policy, AgentPolicy):
            return blind_player(policy, load_task(options.task.name))
        import torch

        # Imported only here: the code fingerprints of other data sets do not contain V, M and C.
        files, agents = (importlib.import_module(f"worldmodels.{name}") for name in ("models.files", "agent_policy"))
        device = torch.device("cpu")  # one frame at a time: a GPU would only wait
        agent = files.load_agent(self.vae, self.mdn_rnn, self.controller, options.task, device)
        return agents.agent_player(policy, *agent, options.task)


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(CollectRollouts, arguments)
