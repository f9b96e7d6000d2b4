"""Memory that jobs with games ask of a cluster, in MB: rather too much than too little, since a job that exceeds it is killed."""

from worldmodels.config.blocks import plays_real_game
from worldmodels.config.datasets import AgentPolicy
from worldmodels.config.experiments import Config
from worldmodels.config.load import experiment_options

STAGE_MB = 2500
"""A stage with V, M, C and a batch of dreams: in the committed runs, evolution took 1,317 at most in doom-laptop, and 2,146 in
doom-laptop-temperatures."""
BLIND_COLLECTION_MB = 1500
"""Collection where the policy sees nothing; 570 in doom-laptop."""
WORKER_MB = 250
"""A process that plays games; 210 with EnvPool, 170 with the others."""
GAME_MB = {"take_cover": 25, "car_racing": 8}
"""One game and its place in the agent's batch, by task; measured: 20 in Doom at 640x480, 4 to 6 in CarRacing."""
CUDA_MB = 4000
"""What a process that uses a GPU has in the machine's own memory on top."""


def collection_memory(config: Config, dataset: str) -> int:
    """What collect_rollouts needs: one game, and V, M and C where an agent plays it."""
    return STAGE_MB if isinstance(config.datasets[dataset].policy, AgentPolicy) else BLIND_COLLECTION_MB


def controller_memory(config: Config, experiment: str, variant: str, cores: int, evolves: bool) -> int:
    """What evolve_controller (or, with `evolves` false, evaluate_controller) of a variant needs on so many cores."""
    options = experiment_options(config, experiment)
    plays = not evolves or plays_real_game(options.variants[variant])
    games = options.evaluation.games if plays else 0
    cuda = CUDA_MB if options.scale == "paper" else 0
    task = config.datasets[options.dataset].task.name
    return STAGE_MB + cuda + games * GAME_MB[task] + min(games, cores) * WORKER_MB
