"""Many games of a task as one batch: worker processes play them, frames arrive through shared memory.

A task is a module under `worldmodels.envs` with the name that its options carry; `Task` says what it offers. A *slot* is one game, and a fixed row of every array. Workers own whole slots. Commands are one byte through a pipe; the
arrays need no copying.
"""

import ctypes
import importlib
import multiprocessing
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple, NoReturn, Protocol, Self, cast

import numpy as np

from worldmodels.config.tasks import TaskOptions
from worldmodels.envs.released_frames import released_frames
from worldmodels.errors import UserError

PATIENCE_SECONDS = 300.0
"""Longest wait for a worker that lives but does not answer. Dead ones are noticed at once; at low priority on a full machine a
live one has been starved for a minute."""
START_SECONDS = 60.0
"""Longest wait for one more game to start: a worker starts its games one after the other."""


class Closing(ABC):
    """A context manager that closes itself at its end."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class GameStep(NamedTuple):
    """What one action led to."""

    reward: float
    ended: bool  # by the rules of the game: in Doom, death
    timed_out: bool


class Game(Protocol):
    """One real game. The same seed gives the same episode for the same actions. A context manager."""

    leftover: str  # names what a killed worker would leave behind (no spaces); "" for nothing

    @property
    def screen_shape(self) -> tuple[int, int, int]:
        """Shape (h, w, 3) of a screen."""
        ...

    def reset(self, seed: int) -> np.ndarray:
        """Begin the episode of `seed`; returns its first screen (h, w, 3) uint8."""
        ...

    def screen(self) -> np.ndarray:
        """What is seen now: (h, w, 3) uint8, a copy."""
        ...

    def read_screen(self, into: np.ndarray) -> None:
        """Copy what is seen now to `into` (h, w, 3) uint8."""

    def step(self, action: np.ndarray) -> GameStep:
        """Act (A,) once."""
        ...

    def close(self) -> None:
        """End the game."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_error: object) -> None: ...


class Task(Protocol):
    """What a module of a real task offers."""

    ACTION_SIZE: int
    ENDING: str
    """What `ended` means there, for the column `ended` of episodes.csv."""

    def make_game(self, options: Any) -> Game:
        """Start one game."""
        ...

    def action_from_unit(self, action: np.ndarray) -> np.ndarray:
        """The action (..., A) that stands for numbers in [-1, 1], which policies without eyes choose."""
        ...

    def resize_frames(self, screens: np.ndarray, size: int) -> np.ndarray:
        """Screens (N, h, w, 3) uint8 as frames (N, size, size, 3) uint8."""
        ...

    def sweep(self, leftover: str) -> None:
        """Remove what a killed worker left behind."""


def load_task(name: str) -> Task:
    """The module that plays the task `name`."""
    return cast(Task, importlib.import_module(f"worldmodels.envs.{name}"))


FrameMaker = Callable[[np.ndarray, int], np.ndarray]
"""Screens (N, h, w, 3) uint8 and a size -> frames (N, size, size, 3) uint8."""


def frame_maker(task: Task, options: TaskOptions) -> FrameMaker:
    """How the task's screens become frames: its own way, or the released code's where the options ask for that."""
    # Tasks whose weights nobody released have no such option.
    released = getattr(options, "preprocessing", "resize") == "released"
    return released_frames if released else task.resize_frames


class StepResult(NamedTuple):
    """What a step of all games gave; rows of games that were not active are 0."""

    rewards: np.ndarray  # (B,) float32
    ended: np.ndarray  # (B,) bool
    timed_out: np.ndarray  # (B,) bool


class Board:
    """The arrays that main process and workers share."""

    def __init__(self, games: int, frame_size: int, action_size: int, name: str | None = None) -> None:
        fields = {
            "frames": ((games, frame_size, frame_size, 3), np.uint8),
            "actions": ((games, action_size), np.float32),
            "seeds": ((games,), np.int64),
            "wanted": ((games,), np.bool_),  # slots that the current command is about
            "rewards": ((games,), np.float32),
            "ended": ((games,), np.bool_),
            "timed_out": ((games,), np.bool_),
        }
        sizes = {
            key: -(-int(np.prod(shape)) * np.dtype(kind).itemsize // 64) * 64 for key, (shape, kind) in fields.items()
        }
        self.memory = SharedMemory(name, create=name is None, size=sum(sizes.values()))
        offset = 0
        self.arrays: dict[str, np.ndarray] = {}
        for key, (shape, kind) in fields.items():
            self.arrays[key] = np.ndarray(shape, kind, self.memory.buf, offset)
            offset += sizes[key]

    def close(self, unlink: bool) -> None:
        """Let go of the memory; the creator also removes it."""
        self.arrays.clear()
        self.memory.close()
        if unlink:
            self.memory.unlink()


CANNOT_PLAY = b"cannot play: "
"""Begins the answer of a worker whose games never began, for a reason that the user can mend."""


class Games(Closing):
    """Games played by worker processes. Use as a context manager."""

    def __init__(self, options: TaskOptions, games: int, workers: int) -> None:
        self._task = load_task(options.name)
        self._board = Board(games, options.frame_size, self._task.ACTION_SIZE)
        self.frames = self._board.arrays["frames"]  # (B, 64, 64, 3) uint8
        self._workers: list[multiprocessing.process.BaseProcess] = []
        self._pipes: list[Connection] = []
        self._slots: list[list[int]] = []
        self._leftovers: list[str] = []
        # spawn: a fork of a process with torch's threads can deadlock.
        context = multiprocessing.get_context("spawn")
        try:
            for worker in range(min(workers, games)):
                here, there = context.Pipe()
                slots = list(range(worker, games, workers))
                self._slots.append(slots)
                arguments = (options, slots, games, self._board.memory.name, there, os.getpid())
                process = context.Process(target=_work, args=arguments, daemon=True)
                process.start()
                there.close()
                self._workers.append(process)
                self._pipes.append(here)
            patience = PATIENCE_SECONDS + START_SECONDS * max(map(len, self._slots))
            self._leftovers = [name for answer in self._await_all(patience) for name in answer.decode().split()]
        except BaseException:
            self.close()
            raise

    def reset(self, slots: Sequence[int], seeds: Sequence[int]) -> None:
        """Begin the episodes of `seeds` in `slots`; their rows of `frames` show the first frames."""
        arrays = self._board.arrays
        arrays["wanted"][:] = False
        arrays["wanted"][list(slots)] = True
        arrays["seeds"][list(slots)] = seeds
        self._command(b"r")

    def step(self, actions: np.ndarray, active: np.ndarray) -> StepResult:
        """Act once in the `active` (B,) games. actions: (B, A) float32.

        A game that ended keeps its last frame until it is reset. Raises UserError for actions of another shape or that
        are not finite, and when a worker or a game died.
        """
        arrays = self._board.arrays
        if actions.shape != arrays["actions"].shape:
            raise UserError(f"actions have shape {actions.shape}, but these games take {arrays['actions'].shape}.")
        if not np.isfinite(actions[active]).all():
            raise UserError("an action is not a finite number: the controller or its inputs have diverged.")
        arrays["actions"][:] = actions
        arrays["wanted"][:] = active
        self._command(b"s")
        return StepResult(arrays["rewards"].copy(), arrays["ended"].copy(), arrays["timed_out"].copy())

    def _command(self, word: bytes) -> None:
        for index, pipe in enumerate(self._pipes):
            try:
                pipe.send_bytes(word)
            except OSError:
                self._give_up(index, "died")
        self._await_all()

    def _await_all(self, patience: float = PATIENCE_SECONDS) -> list[bytes]:
        """Wait for every worker's answer. A dead worker is noticed at once: by its pipe, and by the process itself."""
        answers = [b""] * len(self._pipes)
        waiting: dict[Any, int] = {pipe: index for index, pipe in enumerate(self._pipes)}
        while waiting:
            sentinels = {self._workers[index].sentinel: index for index in waiting.values()}
            ready = wait([*waiting, *sentinels], timeout=patience)
            if not ready:
                self._give_up(next(iter(waiting.values())), f"did not answer for {patience:.0f} s")
            for pipe in [one for one in ready if one in waiting]:
                index = waiting.pop(pipe)
                answers[index] = self._receive(index)
            for index in (sentinels[one] for one in ready if one in sentinels):
                if self._pipes[index] in waiting and not self._pipes[index].poll():
                    self._give_up(index, "died")
        return answers

    def _receive(self, index: int) -> bytes:
        try:
            answer = self._pipes[index].recv_bytes()
        except (EOFError, OSError):
            self._give_up(index, "died")
        if answer.startswith(CANNOT_PLAY):
            self.close()
            raise UserError(answer.removeprefix(CANNOT_PLAY).decode())
        if not answer.startswith(b"ok"):
            self._give_up(index, f"failed: {answer.decode()}")
        return answer.removeprefix(b"ok")

    def _give_up(self, index: int, what: str) -> NoReturn:
        pid, slots = self._workers[index].pid, ", ".join(map(str, self._slots[index]))
        self.close()
        raise UserError(
            f"game worker {index} (process {pid}, games {slots}) {what.rstrip('.')}. Finished episodes are kept; run the "
            "same command again. If it happens again, the machine may be out of memory: lower evaluation.games."
        )

    def close(self) -> None:
        """End all workers and games."""
        for pipe in self._pipes:
            pipe.close()  # a worker whose pipe closes ends its games and itself
        for process in self._workers:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()
        self._pipes, self._workers = [], []
        for leftover in self._leftovers:
            self._task.sweep(leftover)
        self._leftovers = []
        if self._board is not None and self._board.arrays:
            self.frames = np.array(self.frames)
            self._board.close(unlink=True)


def make_games(options: TaskOptions, games: int, workers: int) -> Games:
    """Start `games` games in `workers` processes."""
    return Games(options, games, workers)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, however that ends (Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def _work(options: TaskOptions, slots: list[int], games: int, memory: str, pipe: Connection, parent: int) -> None:
    """A worker's life: build its games, then obey commands until the pipe closes."""
    die_with_parent(parent)
    for number in (signal.SIGINT, signal.SIGTERM):  # the main process's business, which closes the pipe when it ends
        signal.signal(number, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    task = load_task(options.name)
    make_frames = frame_maker(task, options)
    board = Board(games, options.frame_size, task.ACTION_SIZE, memory)
    playing: dict[int, Game] = {}
    try:
        for slot in slots:
            try:
                playing[slot] = task.make_game(options)
            except UserError as error:  # a library that is missing: nothing that passes by itself
                pipe.send_bytes(CANNOT_PLAY + str(error).encode())
                return
        pipe.send_bytes(b"ok" + " ".join(game.leftover for game in playing.values()).encode())
        while True:
            word = pipe.recv_bytes()
            (_reset if word == b"r" else _step)(playing, board.arrays, make_frames)
            pipe.send_bytes(b"ok")
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except Exception as error:
        pipe.send_bytes(str(error).encode())
    finally:
        for game in playing.values():
            game.close()
        board.close(unlink=False)


def _reset(playing: dict[int, Game], arrays: dict[str, np.ndarray], make_frames: FrameMaker) -> None:
    wanted = [slot for slot in playing if arrays["wanted"][slot]]
    _show(wanted, [playing[slot].reset(int(arrays["seeds"][slot])) for slot in wanted], arrays, make_frames)


def _step(playing: dict[int, Game], arrays: dict[str, np.ndarray], make_frames: FrameMaker) -> None:
    slots, screens = [], []
    for slot, game in playing.items():
        arrays["rewards"][slot], arrays["ended"][slot], arrays["timed_out"][slot] = 0, False, False
        if not arrays["wanted"][slot]:
            continue
        result = game.step(arrays["actions"][slot])
        arrays["rewards"][slot], arrays["ended"][slot], arrays["timed_out"][slot] = result
        if not (result.ended or result.timed_out):
            slots.append(slot)
            screens.append(game.screen())
    _show(slots, screens, arrays, make_frames)


def _show(slots: list[int], screens: list[np.ndarray], arrays: dict[str, np.ndarray], make_frames: FrameMaker) -> None:
    if slots:
        arrays["frames"][slots] = make_frames(np.stack(screens), arrays["frames"].shape[1])
