"""The running corosync as its client libraries show it: quorum, and who takes part in a process group.

The libraries are asked through ctypes because starting `corosync-quorumtool` twice a second on every node
would cost the lab more processor time than corosync itself.
"""

from __future__ import annotations

import ctypes

_CS_OK = 1
_CS_DISPATCH_ALL = 2
_MAX_MEMBERS = 128


class _CpgName(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint32), ("value", ctypes.c_char * 128))


class _CpgAddress(ctypes.Structure):
    _fields_ = (("nodeid", ctypes.c_uint32), ("pid", ctypes.c_uint32), ("reason", ctypes.c_uint32))


class CorosyncUnavailable(Exception):  # noqa: N818 - a state of the daemon, not a fault of the caller
    """Corosync is not running, or went away."""


def _check(result: int) -> None:
    if result != _CS_OK:
        raise CorosyncUnavailable(f"corosync answered {result}")


class CorosyncClient:
    """A connection to the local corosync, as member of one process group."""

    def __init__(self, group: str) -> None:
        """Connect and join the group.

        Raises:
            CorosyncUnavailable: corosync is not running.
        """
        self._quorum_library = ctypes.CDLL("libquorum.so.5")
        self._cpg_library = ctypes.CDLL("libcpg.so.4")
        self._quorum = ctypes.c_uint64()
        self._cpg = ctypes.c_uint64()
        self._group = _CpgName(len(group), group.encode())
        no_callbacks = (ctypes.c_void_p * 2)()
        quorum_type = ctypes.c_uint32()
        try:
            _check(
                self._quorum_library.quorum_initialize(
                    ctypes.byref(self._quorum), no_callbacks, ctypes.byref(quorum_type)
                )
            )
            _check(self._cpg_library.cpg_initialize(ctypes.byref(self._cpg), no_callbacks))
            _check(self._cpg_library.cpg_join(self._cpg, ctypes.byref(self._group)))
        except CorosyncUnavailable:
            self.close()
            raise

    def close(self) -> None:
        """Leave the group and disconnect."""
        if self._cpg:
            self._cpg_library.cpg_finalize(self._cpg)
        if self._quorum:
            self._quorum_library.quorum_finalize(self._quorum)

    def quorate(self) -> bool:
        """Whether this node is part of the quorate partition.

        Raises:
            CorosyncUnavailable: corosync went away.
        """
        quorate = ctypes.c_int()
        _check(self._quorum_library.quorum_getquorate(self._quorum, ctypes.byref(quorate)))
        return bool(quorate.value)

    def members(self) -> frozenset[int]:
        """Node ids of the group's members.

        Raises:
            CorosyncUnavailable: corosync went away.
        """
        # Unread events would fill the connection's queue.
        _check(self._cpg_library.cpg_dispatch(self._cpg, _CS_DISPATCH_ALL))
        addresses = (_CpgAddress * _MAX_MEMBERS)()
        count = ctypes.c_int(_MAX_MEMBERS)
        _check(
            self._cpg_library.cpg_membership_get(self._cpg, ctypes.byref(self._group), addresses, ctypes.byref(count))
        )
        return frozenset(addresses[index].nodeid for index in range(count.value))
