"""Reading ahead: the next piece of data is made in a thread while the current one is used."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
PATIENCE_SECONDS = 0.5
"""How long the thread sleeps at most before it notices that nobody wants more."""


def prefetch(items: Iterable[Item], depth: int = 1) -> Iterator[Item]:
    """Yield `items` in order; up to `depth` + 1 of them are made ahead. What making one raises is raised here."""
    waiting: queue.Queue[tuple[str, Item | BaseException | None]] = queue.Queue(maxsize=depth)
    unwanted = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, waiting, unwanted), daemon=True, name="prefetch")
    thread.start()
    try:
        while True:
            kind, content = waiting.get()
            if kind == "end":
                return
            if isinstance(content, BaseException):
                raise content
            yield content  # type: ignore[misc]
    finally:
        unwanted.set()
        if thread is not threading.current_thread():  # it may be the one that collects this generator
            # A thread that the end of the process kills while it reads HDF5 keeps h5py's lock, and the process never ends.
            thread.join()


def _produce(items: Iterable[Item], waiting: queue.Queue, unwanted: threading.Event) -> None:
    try:
        for item in items:
            if not _put(waiting, ("item", item), unwanted):
                return
        _put(waiting, ("end", None), unwanted)
    except BaseException as error:  # it belongs to the reader
        _put(waiting, ("error", error), unwanted)


def _put(waiting: queue.Queue, entry: tuple, unwanted: threading.Event) -> bool:
    """Hand over an entry; False when nobody wants it any more."""
    while not unwanted.is_set():
        try:
            waiting.put(entry, timeout=PATIENCE_SECONDS)
            return True
        except queue.Full:
            continue
    return False
