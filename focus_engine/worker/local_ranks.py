"""The parent of the ranks of one machine: `python -m focus_engine.worker.local_ranks`, with torchrun's arguments.

It is torch.distributed.run with a rendezvous that other machines cannot reach. The store of torch's own rendezvous
listens on every interface, and its backend `c10d` unpickles what the store holds; neither asks for a password.
"""

import datetime as dt
import os
import socket

import torch.distributed.run
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # (torch names them without __all__)
from torch.distributed.elastic.rendezvous import (
    RendezvousHandler,
    RendezvousInfo,
    RendezvousParameters,
    RendezvousStoreInfo,
    rendezvous_handler_registry,
)

from focus_engine.launch.torchrun import BACKEND

ADDRESS = "127.0.0.1"
TIMEOUT = dt.timedelta(minutes=15)


class LocalRendezvous(RendezvousHandler):
    """The rendezvous of a single node: a store at `ADDRESS`, for the agent and its ranks."""

    def __init__(self, parameters: RendezvousParameters) -> None:
        """Listen at `ADDRESS`, on a port that the system chooses."""
        self._id = parameters.run_id
        with socket.create_server((ADDRESS, 0)) as server:
            self._port = server.getsockname()[1]
            listening = os.dup(server.fileno())  # which the store closes
        self._store = TCPStore(
            ADDRESS,
            self._port,
            is_master=True,
            timeout=TIMEOUT,
            wait_for_workers=False,
            master_listen_fd=listening,  # a store that opens its port itself listens on every interface
        )

    @property
    def use_agent_store(self) -> bool:
        """Whether the ranks use this store, rather than one of rank 0 on every interface: always."""
        return True

    def get_backend(self) -> str:
        """Return the name of this backend."""
        return BACKEND

    def next_rendezvous(self) -> RendezvousInfo:
        """Return the store, and that this node is the only one."""
        store = PrefixStore(self._id, self._store)
        return RendezvousInfo(store, 0, 1, RendezvousStoreInfo(ADDRESS, self._port))

    def is_closed(self) -> bool:
        """Return False: a single node may always begin again."""
        return False

    def set_closed(self) -> None:
        """Do nothing: nobody else could join."""

    def num_nodes_waiting(self) -> int:
        """Return 0."""
        return 0

    def get_run_id(self) -> str:
        """Return the id of the run."""
        return self._id

    def shutdown(self) -> bool:
        """Return True: the store ends with this process."""
        return True


def main(arguments: list[str] | None = None) -> None:
    """Start the ranks, restart them where allowed, and return once all have ended well."""
    rendezvous_handler_registry.register(BACKEND, LocalRendezvous)
    torch.distributed.run.main(arguments)


if __name__ == "__main__":
    main()
