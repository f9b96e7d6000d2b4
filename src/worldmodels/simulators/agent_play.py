"""An agent of the real game that sees what a simulator imagines, and real frames only every so many steps.

Time alignment: at time t the agent sees frame t and acts; the simulator and the real game beside it both take that action. After a
warm-up of real frames, frame t is real where t is a whole number of chain periods later: there the simulator observes the last real
frames and the agent's own stack of frames is the real one again. All others are predicted. The real game keeps the score (Oh et al. 2015,
where DQN's input is replaced by predictions; the chain period is that of an open implementation of Chiappa et al. 2017).
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from worldmodels.config.simulator_experiments import HORIZONS
from worldmodels.data.atari_play import draw_noise
from worldmodels.data.atari_windows import ScreenDecoder
from worldmodels.data.real_games import RealGames
from worldmodels.envs.atari.colours import LUMINANCE
from worldmodels.envs.atari.eyes import SIZE, Eyes, grey_frames
from worldmodels.envs.atari.screens import GameFacts, parse_resolution, resolution_of_frames, shrink
from worldmodels.simulators.fit import require_fit
from worldmodels.simulators.moments_file import Moment
from worldmodels.simulators.noise import RowStreams
from worldmodels.simulators.prediction_error import frame_error
from worldmodels.simulators.protocol import ScoredSimulator

KEPT_MOMENTS = (0, *HORIZONS)
"""Steps since the last real frame after which the agent's input is kept, and the last of a chain."""


class ChainEpisode(NamedTuple):
    """One game, to its end or until it was cut off."""

    seed: int
    steps: int
    total: float  # of the real game's rewards
    ended: bool  # by the game's rules, not cut off
    agreement: (
        float  # share of predicted frames on which the agent chose as it would have on the real one; nan without such
    )
    error: float  # mean squared error of the predicted frames, of bytes over 255; nan without such


class ChainFrame(NamedTuple):
    """A moment of the first game."""

    real: np.ndarray  # (H, W, C) uint8
    seen: np.ndarray  # (H, W, C) uint8: what the agent sees, real or predicted
    ahead: int  # steps since the last real frame; 0 where it is one
    total: float  # rewards so far


class ChainPlay(NamedTuple):
    """Games with one chain period, the first of them step by step, and moments of its first chain."""

    episodes: list[ChainEpisode]
    frames: list[ChainFrame]
    moments: list[Moment]


@torch.no_grad()
def play_chain(
    simulator: ScoredSimulator,
    games: RealGames,
    chain_period: int,
    warm_up: int,
    steps: int,
    between: Callable[[], None] = lambda: None,
) -> ChainPlay:
    """Play fresh games to their ends, or `steps` steps, with a real frame every `chain_period` steps after the warm-up.

    between: called before each step. Raises UserError when the simulator was made for other actions, frames or games.
    """
    resolution = parse_resolution(resolution_of_frames(*simulator.frame_shape))
    game = GameFacts(games.name, games.actions, resolution.shape(games.screens.shape[1:]))
    require_fit(game, simulator.action_size, simulator.frame_shape, simulator.origin)
    chain = _Chain(simulator, games, chain_period, warm_up)
    for _ in range(steps):
        between()
        chain.step()
        if not games.alive.any():
            break
    return ChainPlay(chain.episodes(), chain.frames, chain.moments)


class _Chain:
    """Games and a simulator that go on together."""

    def __init__(self, simulator: ScoredSimulator, games: RealGames, chain_period: int, warm_up: int) -> None:
        count = len(games.seeds)
        self.simulator, self.games, self.period, self.warm_up = simulator, games, chain_period, warm_up
        self.resolution = parse_resolution(resolution_of_frames(*simulator.frame_shape))
        self.real_eyes, self.dream_eyes = Eyes(count), Eyes(count)
        self.observed: deque[Tensor] = deque(maxlen=warm_up + 1)  # (S, H, W, C) each
        self.taken: deque[Tensor] = deque(maxlen=warm_up)  # (S,) each
        words = [("play_agent", "imagined", seed) for seed in games.seeds]
        self.noise = RowStreams(words, simulator.noise_size, simulator.device)
        self.time = 0
        self.predicted, self.agreed, self.errors = np.zeros(count), np.zeros(count), np.zeros(count)
        self.frames: list[ChainFrame] = []
        self.moments: list[Moment] = []

    def step(self) -> None:
        """See, choose, act; in the real games and in the simulator."""
        games, simulator = self.games, self.simulator
        games.look()
        alive, first = games.alive, np.full(len(games.seeds), self.time == 0)
        real = simulator.seen(ScreenDecoder(games.colours.rgb, self.resolution, simulator.device)(games.screens))
        real_stacks = self.real_eyes.see(grey_frames(games.screens, games.colours.grey), first)
        self.observed.append(real)
        since = self.time - self.warm_up
        ahead = since % self.period if since >= 0 else 0
        seen = simulator.render(self.state) if ahead else real
        if ahead:
            stacks = self.dream_eyes.see(frames_of_agent(seen), first)
            self.errors += alive * frame_error(seen, real).cpu().numpy()
        else:
            self.dream_eyes.stacks[:] = self.real_eyes.stacks
            stacks = real_stacks
        noise = draw_noise(games.players)
        chosen, otherwise = (games.agent.preferred(one, noise) for one in (stacks, real_stacks))
        if ahead:
            self.predicted += alive
            self.agreed += alive & (chosen == otherwise)
        if alive[0]:
            shown, dreamt = (frame[0].cpu().numpy() for frame in (real, seen))
            self.frames.append(ChainFrame(shown, dreamt, ahead, float(games.totals[0])))
            if 0 <= since < self.period and (ahead in KEPT_MOMENTS or ahead == self.period - 1):
                self.moments.append(Moment(ahead, *(one[0].numpy().copy() for one in (real_stacks, stacks))))
        actions = games.agent.disturbed(chosen, noise)
        self._imagine(torch.from_numpy(actions).to(simulator.device), since, ahead)
        games.act(actions)
        self.time += 1

    def _imagine(self, actions: Tensor, since: int, ahead: int) -> None:
        """The simulator's step, after it has seen the last real frames where this one is real."""
        if since >= 0 and self.period > 1:
            if ahead == 0:
                frames = torch.stack(list(self.observed), dim=1)
                before = torch.stack(list(self.taken), dim=1)
                self.state = self.simulator.observe(frames, before, self.noise)
            self.state = self.simulator.step(self.state, actions, 1.0, self.noise)
        self.taken.append(actions)

    def episodes(self) -> list[ChainEpisode]:
        """How each game went."""
        games = self.games
        with np.errstate(invalid="ignore"):
            means = self.agreed / self.predicted, self.errors / self.predicted
        lengths = [player.console.steps for player in games.players]
        columns = (lengths, games.totals.tolist(), games.ended.tolist(), *(one.tolist() for one in means))
        return [ChainEpisode(*row) for row in zip(games.seeds, *columns, strict=True)]


def frames_of_agent(frames: Tensor) -> np.ndarray:
    """A simulator's frames (S, H, W, C) uint8 as an agent sees the game's, (S, 84, 84) uint8: grey as of the emulator."""
    planes = frames.cpu().numpy()
    grey = np.round(planes @ LUMINANCE).astype(np.uint8) if planes.shape[-1] == 3 else planes[..., 0]
    return shrink(torch.from_numpy(grey), SIZE).numpy()
