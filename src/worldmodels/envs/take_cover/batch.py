"""Many games as one batch: worker processes play them, frames arrive through shared memory.

A *slot* is one game, and a fixed row of every array. Workers own whole slots. Commands are one byte through a pipe; the
arrays need no copying.
"""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.shared_memory import SharedMemory
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np

from worldmodels.config.tasks import TakeCoverOptions
from worldmodels.envs.take_cover.engine import sweep_memory
from worldmodels.envs.take_cover.game import ACTION_SIZE, TakeCoverGame, resize_frames
from worldmodels.errors import UserError

PATIENCE_SECONDS = 60.0
"""Longest wait for a worker that lives but does not answer."""


class StepResult(NamedTuple):
    """What a step of all games gave; rows of games that were not active are 0."""

    rewards: np.ndarray  # (B,) float32
    died: np.ndarray  # (B,) bool
    timed_out: np.ndarray  # (B,) bool


class Board:
    """The arrays that main process and workers share."""

    def __init__(self, games: int, frame_size: int, name: str | None = None) -> None:
        fields = {
            "frames": ((games, frame_size, frame_size, 3), np.uint8),
            "actions": ((games, ACTION_SIZE), np.float32),
            "seeds": ((games,), np.int64),
            "wanted": ((games,), np.bool_),  # slots that the current command is about
            "rewards": ((games,), np.float32),
            "died": ((games,), np.bool_),
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


class Games:
    """Games played by worker processes. Use as a context manager."""

    def __init__(self, options: TakeCoverOptions, games: int, workers: int) -> None:
        self._board = Board(games, options.frame_size)
        self.frames = self._board.arrays["frames"]  # (B, 64, 64, 3) uint8
        self._workers: list[multiprocessing.process.BaseProcess] = []
        self._pipes: list[Connection] = []
        self._slots: list[list[int]] = []
        self._engines: list[str] = []  # names of their shared memory
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
            self._engines = [name for answer in self._await_all() for name in answer.decode().split()]
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
        """Act for one tic in the `active` (B,) games. actions: (B, A) float32.

        A game that ended keeps its last frame until it is reset. Raises UserError for actions of another shape or that
        are not finite, and when a worker or an engine died.
        """
        arrays = self._board.arrays
        if actions.shape != arrays["actions"].shape:
            raise UserError(f"actions have shape {actions.shape}, but these games take {arrays['actions'].shape}.")
        if not np.isfinite(actions[active]).all():
            raise UserError("an action is not a finite number: the controller or its inputs have diverged.")
        arrays["actions"][:] = actions
        arrays["wanted"][:] = active
        self._command(b"s")
        return StepResult(arrays["rewards"].copy(), arrays["died"].copy(), arrays["timed_out"].copy())

    def _command(self, word: bytes) -> None:
        for index, pipe in enumerate(self._pipes):
            try:
                pipe.send_bytes(word)
            except OSError:
                self._give_up(index, "died")
        self._await_all()

    def _await_all(self) -> list[bytes]:
        """Wait for every worker's answer. A dead worker is noticed at once: by its pipe, and by the process itself."""
        answers = [b""] * len(self._pipes)
        waiting: dict[Any, int] = {pipe: index for index, pipe in enumerate(self._pipes)}
        while waiting:
            sentinels = {self._workers[index].sentinel: index for index in waiting.values()}
            ready = wait([*waiting, *sentinels], timeout=PATIENCE_SECONDS)
            if not ready:
                self._give_up(next(iter(waiting.values())), f"did not answer for {PATIENCE_SECONDS:.0f} s")
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
        """End all workers and engines."""
        for pipe in self._pipes:
            pipe.close()  # a worker whose pipe closes ends its engines and itself
        for process in self._workers:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()
        self._pipes, self._workers = [], []
        for engine in self._engines:
            sweep_memory(engine)
        self._engines = []
        if self._board is not None and self._board.arrays:
            self.frames = np.array(self.frames)
            self._board.close(unlink=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def make_games(options: TakeCoverOptions, games: int, workers: int) -> Games:
    """Start `games` games in `workers` processes."""
    return Games(options, games, workers)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, however that ends (Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def _work(options: TakeCoverOptions, slots: list[int], games: int, memory: str, pipe: Connection, parent: int) -> None:
    """A worker's life: build its games, then obey commands until the pipe closes."""
    die_with_parent(parent)
    for number in (signal.SIGINT, signal.SIGTERM):  # the main process's business, which closes the pipe when it ends
        signal.signal(number, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    board = Board(games, options.frame_size, memory)
    playing: dict[int, TakeCoverGame] = {}
    try:
        for slot in slots:
            playing[slot] = TakeCoverGame(options)
        pipe.send_bytes(b"ok" + " ".join(str(game.instance) for game in playing.values()).encode())
        while True:
            word = pipe.recv_bytes()
            (_reset if word == b"r" else _step)(playing, board.arrays)
            pipe.send_bytes(b"ok")
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except Exception as error:
        pipe.send_bytes(str(error).encode())
    finally:
        for game in playing.values():
            game.close()
        board.close(unlink=False)


def _reset(playing: dict[int, TakeCoverGame], arrays: dict[str, np.ndarray]) -> None:
    wanted = [slot for slot in playing if arrays["wanted"][slot]]
    _show(wanted, [playing[slot].reset(int(arrays["seeds"][slot])) for slot in wanted], arrays)


def _step(playing: dict[int, TakeCoverGame], arrays: dict[str, np.ndarray]) -> None:
    slots, screens = [], []
    for slot, game in playing.items():
        arrays["rewards"][slot], arrays["died"][slot], arrays["timed_out"][slot] = 0, False, False
        if not arrays["wanted"][slot]:
            continue
        result = game.step(float(arrays["actions"][slot, 0]))
        arrays["rewards"][slot], arrays["died"][slot], arrays["timed_out"][slot] = result
        if not (result.died or result.timed_out):
            slots.append(slot)
            screens.append(game.screen())
    _show(slots, screens, arrays)


def _show(slots: list[int], screens: list[np.ndarray], arrays: dict[str, np.ndarray]) -> None:
    if slots:
        arrays["frames"][slots] = resize_frames(np.stack(screens), arrays["frames"].shape[1])
