"""Windows cut into the pieces of truncated back-propagation: BPTT(15, n) makes n updates of each window (Chiappa et al. 2017, appendix A)."""

from collections.abc import Callable, Iterator

from worldmodels.data.windows import Windows

WindowSource = Callable[[int], Iterator[Windows]]
"""Called with a window batch's number, yields that one and those after it: each is a function of its number alone."""


def piece_of(windows: Windows, first: int, last: int) -> Windows:
    """Steps `first` to `last` (exclusive), and the frame that the last one leads to."""
    frames = windows.frames[:, first : last + 1]
    return Windows(frames, *(part[:, first:last] for part in windows[1:]))


def subsequence(windows: Windows, index: int, warm_up: int, length: int) -> Windows:
    """The piece of one update: the first has the warm-up before it, the others go on where the last one ended."""
    last = warm_up + (index + 1) * length
    return piece_of(windows, last - length if index else 0, last)


def subsequences(source: WindowSource, warm_up: int, length: int, count: int) -> WindowSource:
    """A source of pieces: `count` updates in a row are of the same windows."""

    def pieces(first: int) -> Iterator[Windows]:
        for windows in source(first // count):
            for index in range(first % count, count):
                yield subsequence(windows, index, warm_up, length)
            first = 0

    return pieces
