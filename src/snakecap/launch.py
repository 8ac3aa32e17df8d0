"""A job of several processes: starts them with torchrun, hands signals on, ends with their code.

``python -m snakecap.launch --processes 4 SCRIPT ...`` is what the rules run. torchrun alone would
kill its processes some time after a signal, saved or not, and end with code 1 whatever happened.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence

from snakecap import interruption, log, relay

LEADER = 0


def main(words: Sequence[str]) -> int:
    """Run a script in several processes.

    Args:
        words: the command line.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="snakecap.launch", allow_abbrev=False)
    parser.add_argument("--processes", type=int, required=True, metavar="N")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="a script and its arguments")
    given = parser.parse_args(words)
    log.setup()
    return run(["--standalone", f"--nproc-per-node={given.processes}", *given.command])


def run(words: Sequence[str]) -> int:
    """Run torchrun to its end.

    Args:
        words: its command line.

    Returns:
        The exit code, that of `code`.
    """
    received: list[int] = []

    def hand_on(number: int, _: object) -> None:
        received.append(number)
        if not relay.tell(relay.children(), number):  # none was started yet
            raise interruption.Interrupted(number)

    for number in interruption.CODES:
        signal.signal(number, hand_on)
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        # Of the rest, the closed terminal's, its own handlers make an end.
        torchrun.main(["--signals-to-handle=SIGHUP,SIGQUIT", *words])
    except ChildFailedError as error:
        first = error.get_first_failure()[0]
        if not received:
            log.logger.error("process %d of the team failed first: see above", first)
        found = {rank: failed.exitcode for rank, failed in error.failures.items()}
        return code(found, first, received)
    return 0


def code(failed: Mapping[int, int], first: int, received: Sequence[int]) -> int:
    """What a job ends with when not all of its processes succeeded.

    Args:
        failed: codes of those that did not, by rank; negative: the signal that killed it.
        first: the rank of the one that ended first; the others may have ended for that.
        received: signals that the job was sent, of `interruption.CODES`.

    Returns:
        Without a signal, the code of the first; with one the leader's, who saves, when it is here.
    """
    found = failed[LEADER if received and LEADER in failed else first]
    if found < 0:  # it was killed; by a signal of ours before it could handle it?
        return interruption.CODES[signal.Signals(received[0])] if received else 128 - found
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
