"""Train an agent that only collects Atari frames (stable-baselines3's DQN or A2C), and report its score."""

from pathlib import Path
from typing import ClassVar

from worldmodels.config.atari import AgentTraining
from worldmodels.config.atari_blocks import TrainAgentBlock
from worldmodels.config.tasks import AtariOptions
from worldmodels.data.agent_scores import AgentEpisode, play_games, score_record
from worldmodels.data.agent_training import train_agent
from worldmodels.figures.episodes import Episode, write_episodes
from worldmodels.models.atari_agent import save_agent
from worldmodels.runtime.device import resolve_device
from worldmodels.runtime.files import write_json
from worldmodels.stages.stage import Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage


class TrainAgent(Stage):
    """Options of train_agent."""

    Block: ClassVar = TrainAgentBlock
    uses_gpu = True

    output: Path = output_file("The agent's file to write, safetensors")
    episodes: Path = output_file("The episodes of its score to write, CSV")
    score: Path = output_file("Its score and what it cost to write, JSON")
    start_from: Path | None = input_file("A trained agent's file to go on from", default=None)

    def run(self) -> None:
        """Train, save, then play the games of the score."""
        block = self.block()
        options = AgentTraining(**block.model_dump(exclude={"game"}))
        agent = train_agent(options, block.game, self.start_from, self.state, resolve_device(self.device))
        save_agent(self.output, agent)
        task = AtariOptions(game=block.game, **options.rules.model_dump())
        played = play_games(self.output, task, options.episodes, options.episode_epsilon)
        write_episodes(self.episodes, (self._row(one, options.seed) for one in played))
        write_json(self.score, score_record(block.game, agent.options.steps, task.frame_repeat, played))

    def _row(self, played: AgentEpisode, seed: int) -> Episode:
        """The row of a game: the agent is the experiment, the game the variant."""
        agent, game = self.output.parent.parent.name, self.output.parent.name
        ending = "game over" if played.ended else "timeout"
        return Episode(agent, seed, game, "real", played.seed, played.steps, played.total, ending)


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(TrainAgent, arguments)
