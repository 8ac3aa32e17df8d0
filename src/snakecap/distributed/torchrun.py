"""A job of several processes: starts them with torchrun, hands signals on, ends with their code.

``python -m snakecap.distributed.torchrun --processes 4 SCRIPT ...`` is what the rules run.
torchrun alone would kill its processes some time after a signal, saved or not, and end with code 1
whatever happened.

With ``--nodes 2`` and in a job of SLURM's, srun starts the same once on each of its nodes. SLURM
says there which node each is, and the address of the first, so that no name need resolve.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence

from snakecap import log
from snakecap.distributed import signals, slurm_signals

FIRST_RANK = 0
STEP = (
    *("--ntasks-per-node=1", "--mem=0", "--cpu-bind=quiet,none", "--input=none"),  # all of a node
    "--wait=120",  # seconds for the others when one has ended: they end together, or hang
)
ASK_ADDRESS = 0x8915  # SIOCGIFADDR of <linux/sockios.h>


def main(words: Sequence[str]) -> int:
    """Run a script in several processes; returns the exit code."""
    parser = argparse.ArgumentParser(prog="snakecap.distributed.torchrun", allow_abbrev=False)
    parser.add_argument("--processes", type=int, required=True, metavar="N", help="on a node")
    parser.add_argument("--nodes", type=int, default=1, metavar="N", help="of the SLURM job")
    parser.add_argument("--port", type=int, help="where the first node listens to the others")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="a script and its arguments")
    given = parser.parse_args(words)
    log.setup()
    if given.nodes > 1 and given.port is None and in_a_job(given.nodes):
        spread(given.processes, given.nodes, given.command)
    place = ["--standalone"] if given.port is None else membership(given.port)
    return run([*place, f"--nproc-per-node={given.processes}", *given.command])


def in_a_job(nodes: int) -> bool:
    """Whether this runs on a node of a SLURM job of so many; the plugin hides how many it has."""
    mine = int(os.environ.get("SLURM_JOB_NUM_NODES", nodes))
    return "SLURM_JOB_ID" in os.environ and "SLURMD_NODENAME" in os.environ and mine >= nodes


def spread(processes: int, nodes: int, command: Sequence[str]) -> None:
    """Become srun, which starts this module on each node; call it on the first one."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    gpus = f"--gpus-per-node={processes}"
    step = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", gpus, *STEP]
    again = [sys.executable, "-m", "snakecap.distributed.torchrun", "--processes", str(processes)]
    os.execvp("srun", [*step, *again, "--nodes", str(nodes), "--port", str(port), *command])


def membership(port: int) -> list[str]:
    """What torchrun must know on one of several nodes, from what SLURM says."""
    said = os.environ
    first = said["SLURM_LAUNCH_NODE_IPADDR"]  # where srun runs
    if name := interface(first):
        said.setdefault("GLOO_SOCKET_IFNAME", name)
    return [
        f"--nnodes={said['SLURM_STEP_NUM_NODES']}",
        f"--node-rank={said['SLURM_NODEID']}",
        f"--master-addr={first}",
        f"--master-port={port}",
        f"--rdzv-id={said['SLURM_JOB_ID']}",
    ]


def interface(address: str) -> str | None:
    """The network interface that leads to an IPv4 address; None for the loopback.

    gloo takes the one of the host's name, which may be the loopback, or not resolve at all.
    """
    with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))  # which sends nothing
        mine = probe.getsockname()[0]
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # it has no address
                row = fcntl.ioctl(probe, ASK_ADDRESS, struct.pack("256s", name.encode()))
                if socket.inet_ntoa(row[20:24]) == mine and name != "lo":
                    return name
    return None


def run(words: Sequence[str]) -> int:
    """Run torchrun to its end; returns the exit code, that of `code`."""
    received: list[int] = []

    def hand_on(number: int, _: object) -> None:
        received.append(number)
        if not slurm_signals.tell(slurm_signals.children(), number):  # none was started yet
            raise signals.Interrupted(number)

    for number in signals.CODES:
        signal.signal(number, hand_on)
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        # Of the rest, the closed terminal's, its own handlers make an end.
        torchrun.main(["--signals-to-handle=SIGHUP,SIGQUIT", *words])
    except ChildFailedError as error:
        first = error.get_first_failure()[0]
        if not received:
            log.logger.error("process %d failed first: see above", first)
        found = {rank: failed.exitcode for rank, failed in error.failures.items()}
        return code(found, first, received)
    return 0


def code(failed: Mapping[int, int], first: int, received: Sequence[int]) -> int:
    """What a job ends with when not all of its processes succeeded.

    Args:
        failed: codes of those that did not, by rank; negative: the signal that killed it.
        first: the rank of the one that ended first; the others may have ended for that.
        received: signals that the job was sent, of `signals.CODES`.

    Returns:
        Without a signal, the code of the first; with one that of rank 0, which saves, where it is.
    """
    found = failed[FIRST_RANK if received and FIRST_RANK in failed else first]
    if found < 0:  # it was killed; by a signal of ours before it could handle it?
        return signals.CODES[signal.Signals(received[0])] if received else 128 - found
    return found


def on_rank_0(make: Callable[[], None], lead: Callable[[Callable[[], None]], None]) -> None:
    """Let all processes of a job `make` when its first one, which `lead` runs in, decides so."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        from snakecap.distributed.process_group import together  # torch: seconds

        together(make, lead)
    else:
        lead(make)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
