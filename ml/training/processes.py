"""This process among those of ``torchrun``, or alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
_LONGEST = 4096  # bytes of a path


@dataclass(frozen=True)
class Processes:
    """Who trains together.

    Attributes
    ----------
    rank, world : int
        This process, and how many there are.
    device : torch.device
    """

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return a network whose gradients are averaged over all processes."""
        if self.world == 1:
            return network
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=ids)

    def share_buffers(self, network: nn.Module) -> None:
        """Give all processes the running statistics of the first, so that they judge by the same network."""
        if self.world > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, 0)

    def gather(self, own: np.ndarray, total: int) -> np.ndarray:
        """Return the rows of all processes, where process r has rows r, r + world, ... of ``total``."""
        if self.world == 1:
            return own
        most = -(-total // self.world)
        padded = torch.zeros((most, *own.shape[1:]), dtype=torch.float32, device=self.device)
        padded[: len(own)] = torch.from_numpy(own)
        parts = [torch.empty_like(padded) for _ in range(self.world)]
        distributed.all_gather(parts, padded)
        return torch.stack(parts, dim=1).flatten(0, 1)[:total].cpu().numpy()

    def add_up(self, own: np.ndarray) -> np.ndarray:
        """Return the sum of the arrays of all processes, int64 and of one shape."""
        if self.world == 1:
            return own
        total = torch.from_numpy(own).to(self.device)
        distributed.all_reduce(total)
        return total.cpu().numpy()

    def first_then_all(self, work: Callable[[], T]) -> T:
        """Have the first process do something, then the others, who find it done."""
        result = work() if self.first else None
        if self.world > 1:
            distributed.barrier()
        return work() if result is None else result

    def share_text(self, text: str) -> str:
        """Return the first process' text."""
        if self.world == 1:
            return text
        letters = torch.zeros(_LONGEST, dtype=torch.uint8, device=self.device)
        data = text.encode()
        letters[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        distributed.broadcast(letters, 0)
        return bytes(letters.cpu().tolist()).rstrip(b"\0").decode()


@contextmanager
def join_processes() -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, each with its own GPU if there are any; else be alone."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    cuda = torch.cuda.is_available()
    if world == 1:
        yield Processes(
            0, 1, torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")
        )
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if cuda:
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        device = torch.device("cuda", local) if cuda else torch.device("cpu")
        yield Processes(distributed.get_rank(), world, device)
    finally:
        distributed.destroy_process_group()
