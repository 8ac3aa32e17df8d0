"""Several processes as one: which of them this is, and what they tell each other.

torchrun says in the environment which process this is; without it a job is a group of one, for
which everything here costs nothing. All run the same step; rank 0 alone writes files.

The gradient of a step is the sum over the processes, each of which weights its loss by its share of
the batch: the numbers are those of one process at the same global batch, but for rounding.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist

# Before there is a group: default arguments in it would hold the group when torch's optimisers
# import it later, and gloo's threads, which then outlive Python, abort the process.
import torch.distributed.nn
from torch import Tensor, nn

Item = TypeVar("Item")
PATIENCE = timedelta(days=7)  # the others wait while rank 0 writes, or waits for a lock


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of one job, and which of them this is: `rank`, from 0."""

    rank: int = 0
    size: int = 1

    @property
    def is_rank_0(self) -> bool:
        return self.rank == 0

    def mine(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's share of some items: every `size`-th."""
        return items[self.rank :: self.size]

    def broadcast(self, value: Item) -> Item:
        """The value of rank 0, for everyone."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Item) -> list[Item]:
        """Every process's value, by rank, for rank 0; an empty list for the others."""
        if self.size == 1:
            return [value]
        box: list[Any] | None = [None] * self.size if self.is_rank_0 else None
        dist.gather_object(value, box, dst=0)
        return cast(list[Item], box or [])

    def merged(self, shares: Sequence[Sequence[Item]]) -> list[Item]:
        """What `mine` took apart, from what `gather` returned, in the first order."""
        total, size = sum(map(len, shares)), len(shares)
        return [shares[place % size][place // size] for place in range(total)]

    def gradients(self, parameters: Iterable[nn.Parameter], *more: Tensor) -> None:
        """Sum gradients and `more` over all, in place; a parameter without a gradient counts as 0.

        All in one exchange.
        """
        if self.size == 1:
            return
        tensors = list(more)
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            tensors.append(parameter.grad)
        whole = torch.cat([tensor.detach().float().flatten() for tensor in tensors])
        dist.all_reduce(whole)
        parts = torch.split(whole, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.detach().copy_(part.view_as(tensor))

    def reseed(self, seed: int, iteration: int) -> None:
        """Random numbers of this process's own, for an iteration: what dropout draws from.

        One process goes on with its generator, whose state its checkpoints hold; of several they
        hold that of rank 0 alone.
        """
        if self.size > 1:
            torch.manual_seed(hash((seed, iteration, self.rank)) % 2**63)

    @contextlib.contextmanager
    def on_rank_0(self, context: contextlib.AbstractContextManager[Item]) -> Iterator[Item]:
        """Enter a context in rank 0 alone; all get its value, and leave it together."""
        if self.size == 1:
            with context as value:
                yield value
            return
        with context if self.is_rank_0 else contextlib.nullcontext() as value:
            yield self.broadcast(value)  # type: ignore[misc]
            dist.barrier()


def join() -> ProcessGroup:
    """The group that torchrun put this process into; of one without torchrun."""
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        return ProcessGroup()
    if not dist.is_initialized():
        # Tensors of a GPU go through NCCL; objects and tensors of a CPU through gloo.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
    return ProcessGroup(dist.get_rank(), size)


def together(make: Callable[[], None], lead: Callable[[Callable[[], None]], None]) -> None:
    """Have all processes call `make` when rank 0 does, or none of them; they leave together.

    Args:
        lead: called by rank 0 alone, with a `make` that the others join in; it may find that
            there is nothing to make.
    """
    outermost = not dist.is_initialized()
    processes = join()
    if processes.is_rank_0:
        _lead(processes, make, lead)
    elif processes.broadcast(False):
        make()
    # Rank 0 may still be writing, and a cluster ends who is left behind.
    processes.broadcast(None)
    if outermost:  # threads of gloo that outlive Python abort the process
        dist.destroy_process_group()


def _lead(
    processes: ProcessGroup, make: Callable[[], None], lead: Callable[[Callable[[], None]], None]
) -> None:
    """Rank 0's half of `together`."""
    called = []

    def start() -> None:
        called.append(processes.broadcast(True))
        make()

    lead(start)
    if not called:
        processes.broadcast(False)


def share(module: nn.Module, processes: ProcessGroup) -> nn.Module:
    """Let a module's batch norms take their statistics from the whole group's batch, in place.

    torch's SyncBatchNorm does not work on CPUs. Only the class changes: the parameters stay the
    tensors that optimisers hold.
    """
    if processes.size > 1:
        for child in module.modules():
            for plain, shared in _SHARED.items():
                if isinstance(child, plain) and not getattr(child, "by_process", False):
                    child.__class__ = shared
    return module


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(_: Any, own: Tensor) -> Tensor:
        whole = own.clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        whole = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(whole)
        return whole


class _Shared(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the batches of all processes."""

    def forward(self, inputs: Tensor) -> Tensor:
        """As batch norm, of shape (B, C, ...); processes may hold batches of different sizes."""
        if not self.training:
            plain: Tensor = super().forward(inputs)
            return plain
        dims = [0, *range(2, inputs.dim())]
        values = inputs.float()
        count = values.new_tensor([inputs.numel() / inputs.shape[1]])
        own = torch.cat([values.sum(dims), values.square().sum(dims), count])
        sums: Tensor = _Sum.apply(own)
        total, squares, number = torch.split(sums, [inputs.shape[1], inputs.shape[1], 1])
        mean = total / number
        variance = (squares / number - mean.square()).clamp(min=0)
        if self.running_mean is not None and self.running_var is not None:
            # One value has no variance: it is taken as in evaluation.
            mean = torch.where(number > 1, mean, self.running_mean)
            variance = torch.where(number > 1, variance, self.running_var)
        self._follow(mean.detach(), (variance * number / (number - 1).clamp(min=1)).detach())
        shape = [1, -1] + [1] * (inputs.dim() - 2)
        scale = torch.rsqrt(variance + self.eps)
        normal = (values - mean.view(shape)) * scale.view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(inputs.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Running statistics, as torch keeps them: of the unbiased variance."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        rate = self.momentum or 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(variance, rate)


class _Shared1d(_Shared, nn.BatchNorm1d):
    pass


class _Shared2d(_Shared, nn.BatchNorm2d):
    pass


_SHARED: dict[type, type] = {nn.BatchNorm1d: _Shared1d, nn.BatchNorm2d: _Shared2d}
