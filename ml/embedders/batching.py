"""Find the batch size a GPU does best with, while working."""

from __future__ import annotations

_GAIN = 1.05  # doubling must pay at least this, or the GPU is full already
_STEPS = 3  # batches to take the speed of a size from; the first of a size is not counted


class BatchSize:
    """Doubles while that makes images a second, halves when memory runs out.

    Parameters
    ----------
    start : int
        The first size.
    most : int
        The largest size ever tried.

    Attributes
    ----------
    size : int
        Images the next batch should have.
    most : int
        No batch will be larger.
    """

    def __init__(self, start: int, most: int = 1024) -> None:
        self.size = start
        self.most = most
        self._seconds: list[float] = []
        self._best = 0.0
        self._settled = start >= most

    def took(self, images: int, seconds: float) -> None:
        """Take note of a batch that went through; shorter ones than asked for say nothing."""
        if self._settled or images != self.size:
            return
        self._seconds.append(seconds)
        if len(self._seconds) <= _STEPS:
            return
        rate = self.size / min(self._seconds[1:])
        self._seconds.clear()
        if rate < self._best * _GAIN:
            self.size //= 2
            self._settled = True
        elif 2 * self.size > self.most:
            self._settled = True
        else:
            self._best = rate
            self.size *= 2

    def out_of_memory(self, images: int) -> None:
        """Halve for good after a batch of ``images`` did not fit.

        Raises
        ------
        MemoryError
            If not even one image fits.
        """
        if images <= 1:
            raise MemoryError(
                "not even one image fits into the GPU's memory: free some, or choose a smaller embedder "
                "or image size"
            )
        self.size = max(1, min(self.size, images // 2))
        self.most = self.size
        self._settled = True
        self._seconds.clear()
