"""Several processes that train one model, started by `torchrun`, and the device each of them takes.

`training.train` asks `join_processes` who is there; alone, every method of `Processes` does nothing.
"""

import atexit
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Processes:
    """The processes that `torchrun` started, and which one this is. One process alone does nothing here.

    What `torch.nn.parallel.DistributedDataParallel` does, by hand. It hooks into `model.forward`, but an
    objective calls the model's parts; it averages over processes, so that the examples of a shorter share
    would count for more; and it stops at a parameter that an objective leaves out. Adding up the
    gradients of shares of one loss has none of these limits, and gives the gradient of the whole batch.

    All processes hold all the data and walk through them in the same order, with the same random numbers.

    Args:
        rank: number of this process; 0 is the first one, which reads and writes the files.
        count: how many there are.

    >>> with Processes().share(torch.arange(5)) as part:
    ...     part
    tensor([0, 1, 2, 3, 4])
    """

    rank: int = 0
    count: int = 1

    @contextmanager
    def share(self, batch: Tensor) -> Iterator[Tensor]:
        """This process's rows of a batch (none, if the batch has too few), and their random numbers.

        Inside, every random operation of torch draws for the whole batch and keeps these rows.
        """
        if self.count == 1:
            yield batch
            return
        # Rounded up: a single row is the first process's, whose random state all take over in each epoch.
        first, stop = (math.ceil(len(batch) * rank / self.count) for rank in (self.rank, self.rank + 1))
        with _DrawForTheWholeBatch(first, stop - first, len(batch)):
            yield batch[first:stop]

    def add_up(self, value: Tensor) -> None:
        """Replace a tensor by its sum over the processes, the same bits in each of them."""
        if self.count > 1:
            dist.all_reduce(value)

    def add_up_gradients(self, model: nn.Module) -> None:
        """Replace every gradient by its sum over the processes: one message for all of them."""
        if self.count == 1:
            return
        trained = [p for p in model.parameters() if p.requires_grad]
        used = torch.tensor([float(p.grad is not None) for p in trained], device=trained[0].device)
        # A parameter that had no part in this share may have had one in another's.
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        message = torch.cat([used, *(gradient.flatten() for gradient in gradients)])
        dist.all_reduce(message)
        used, *pieces = message.split([len(trained), *(p.numel() for p in trained)])
        for p, piece, count in zip(trained, pieces, used.tolist(), strict=True):
            p.grad = piece.view_as(p).to(p.dtype) if count else None
        for buffer in model.buffers():  # an objective may have moved one, as batch normalisation does
            dist.broadcast(buffer, src=0)

    def copy_from_first(self, model: nn.Module) -> None:
        """Give every process the weights and buffers of the first one."""
        if self.count > 1:
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, src=0)

    def from_first(self, value: Any) -> Any:
        """The first process's value, in every process; waits for the first one to get here."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


class _DrawForTheWholeBatch(TorchDispatchMode):
    """Makes the noise of an example the same, however many processes share its batch.

    Every operation that torch marks as random is widened to the size of the whole batch, and this
    process's rows are cut out. The dimension of the batch is the first one of the length of the share; an
    operation without one, such as the draw of one number, is left alone and so the same everywhere.
    """

    def __init__(self, first: int, length: int, whole: int) -> None:
        super().__init__()
        self.first, self.length, self.whole = first, length, whole

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # A size, or tensors such as the probabilities of a draw.
        shapes = [a.shape if isinstance(a, Tensor) else a for a in args if isinstance(a, Tensor | list)]
        if torch.Tag.nondeterministic_seeded not in func.tags or not shapes or self.length not in shapes[0]:
            return func(*args, **kwargs)
        dim = list(shapes[0]).index(self.length)

        def widen(a: Any) -> Any:
            if not isinstance(a, Tensor | list):
                return a
            size = [*(a.shape if isinstance(a, Tensor) else a)]
            size[dim] = self.whole
            if isinstance(a, list):
                return size
            wide = a.new_ones(size)  # probabilities or scales, maybe, so not 0
            wide.narrow(dim, self.first, self.length).copy_(a)
            return wide

        drawn = func(*map(widen, args), **kwargs)
        if func._schema.is_mutable:  # such as normal_()
            return args[0].copy_(drawn.narrow(dim, self.first, self.length))
        outputs = drawn if isinstance(drawn, tuple) else (drawn,)  # dropout also returns its mask
        cut = tuple(t.narrow(dim, self.first, self.length).clone() for t in outputs)
        return cut if isinstance(drawn, tuple) else cut[0]


def join_processes(name: str) -> tuple[Processes, torch.device]:
    """Meet the processes that `torchrun` started, if it did, and take a device: on GPUs, one for each.

    Args:
        name: as in TrainConfig.device. "auto" takes the GPUs, if there are any, else the CPU.
    Raises:
        ValueError: there is no such device, or not one for every process.

    >>> join_processes("cpu")
    (Processes(rank=0, count=1), device(type='cpu'))
    """
    joined = dist.is_available() and dist.is_initialized()
    if not joined and int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes(), pick_device(name)
    has_gpu = torch.cuda.is_available()
    device = pick_device("cpu" if name == "auto" and not has_gpu else name)
    if device.type == "cuda":
        local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if device.index is not None or local >= gpus:
            raise ValueError(
                f"device={name!r} does not give every process a GPU of its own: this is number {local} on "
                f"this machine, which has {gpus}. Start torchrun with --nproc-per-node={gpus} and "
                "device='cuda', or take device='cpu'."
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    elif device.type != "cpu":
        raise ValueError(f"several processes need device='cpu' or 'cuda', got {name!r}")
    if not joined:
        dist.init_process_group("cpu:gloo,cuda:nccl" if has_gpu else "gloo")
        # Not at the end of `train`: a group cannot be founded twice on the same torchrun.
        atexit.register(dist.destroy_process_group)
    return Processes(dist.get_rank(), dist.get_world_size()), device


def pick_device(name: str) -> torch.device:
    """The torch device of a name; "auto" is the fastest that is there.

    Raises:
        ValueError: torch knows no such device, or this machine has none.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    there = {"cpu": True}
    there["cuda"] = torch.cuda.is_available()
    there["mps"] = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if there[kind]))
    kind = name.split(":")[0]
    if not there.get(kind, False):
        have = ", ".join(kind for kind, ok in there.items() if ok)
        raise ValueError(f"no device {name!r} on this machine; there is {have}. device='auto' picks one.")
    return torch.device(name)
