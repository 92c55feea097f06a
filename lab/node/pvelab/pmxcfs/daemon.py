"""The pmxcfs daemon: decide between local and cluster mode, mount /etc/pve, follow corosync."""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import socket
import stat
import subprocess
import sys
import syslog
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

import fusepy  # type: ignore[import-not-found]  # Debian's name for the library, which only nodes have

from pvelab import machine
from pvelab.corosync.daemon import CorosyncClient, CorosyncUnavailable
from pvelab.pmxcfs import paths
from pvelab.pmxcfs.distribution import distribute, reload_corosync
from pvelab.pmxcfs.filesystem import ClusterFilesystem
from pvelab.pmxcfs.locks import LOCK_TIMEOUT_SECONDS, LockTable
from pvelab.pmxcfs.members import ClusterView, Remembered, read_conf, render_guests
from pvelab.pmxcfs.reports import REPORT_SECONDS, Reports
from pvelab.pmxcfs.store import Store, cluster_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from pvelab.corosync.conf import CorosyncConf

PID_FILE = Path("/run/pve-cluster.pid")
LOCK_FILE = paths.LIBRARY_DIR / ".pmxcfs.lockfile"
LOCK_ATTEMPTS = 10
POLL_SECONDS = 0.25
# How old the copy of the shared tree may be that a node falls back to; copying costs processor time on every node.
REPLICA_SECONDS = 1.0
# pmxcfs takes the library's defaults: for so long a node may see a file as it was before another node changed it.
KERNEL_REMEMBERS_SECONDS = 1.0
_FUSE_DEVICE = Path("/dev/fuse")
_FUSE_DEVICE_NUMBER = os.makedev(10, 229)
_PR_SET_NAME = 15
_M_MMAP_THRESHOLD = -3
_BUFFERS_STAY_BELOW = 16 * 1024 * 1024


class StartError(Exception):
    """The file system cannot be started."""


def main() -> int:
    """`pmxcfs [-f] [-l]`: returns once /etc/pve is mounted, or with -f when it was unmounted."""
    parser = argparse.ArgumentParser(prog="pmxcfs")
    parser.add_argument("-f", "--foreground", action="store_true", help="do not daemonize server")
    parser.add_argument(
        "-l", "--local", action="store_true", help="force local mode (ignore corosync.conf, force quorum)"
    )
    options = parser.parse_args()
    try:
        address = node_address(machine.node_name())
        lock = take_lock()
        daemon = Daemon(address, force_local=options.local)
    except StartError as error:
        _fail(str(error))
    if not options.foreground:
        _daemonize_until_mounted(daemon)
    with lock:
        daemon.serve()
    return 0


def node_address(node: str) -> str:
    """The address that the node's own name resolves to.

    Raises:
        StartError: it resolves to nothing, or to the loopback only.
    """
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(node, None, type=socket.SOCK_STREAM)]
    except OSError:
        found = []
    for address in found:
        if not address.startswith("127.") and address != "::1":
            return address
    raise StartError(
        f"Unable to resolve node name '{node}' to a non-loopback IP address - missing entry in '/etc/hosts' or DNS?"
    )


def take_lock() -> IO[str]:
    """Only one pmxcfs runs; a stopping one is waited for.

    Raises:
        StartError: another one keeps running.
    """
    paths.LIBRARY_DIR.mkdir(parents=True, exist_ok=True)
    lock = LOCK_FILE.open("a")
    for attempt in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt == 0:
                sys.stderr.write("[main] notice: unable to acquire pmxcfs lock - trying again\n")
            time.sleep(1)
        else:
            return lock
    raise StartError("unable to acquire pmxcfs lock: Resource temporarily unavailable")


def open_database() -> None:
    """A node without config.db starts anew, keeping of its past only what /etc/corosync says."""
    if paths.DATABASE.exists():
        return
    subprocess.run(["rm", "-rf", str(paths.REPLICA_DIR)], check=True)
    paths.REPLICA_DIR.mkdir(parents=True)
    if paths.LOCAL_COROSYNC_CONF.exists():
        imported = paths.REPLICA_DIR / "corosync.conf"
        imported.write_bytes(paths.LOCAL_COROSYNC_CONF.read_bytes())
    paths.DATABASE.write_text(json.dumps({"pve-lab-database": str(paths.REPLICA_DIR)}) + "\n")
    paths.DATABASE.chmod(0o600)


class Daemon:
    """One running pmxcfs."""

    def __init__(self, address: str, *, force_local: bool) -> None:
        """Read the database and decide on the mode.

        Raises:
            StartError: the node has a corosync.conf but no key.
        """
        open_database()
        self._address = address
        self._node = machine.node_name()
        cluster = None
        # That it is there is enough: what it says is corosync's matter (pmxcfs.c).
        if not force_local and (paths.REPLICA_DIR / "corosync.conf").exists():
            if not paths.COROSYNC_AUTHKEY.exists():
                raise StartError(f"no corosync key '{paths.COROSYNC_AUTHKEY}'")
            cluster = cluster_directory(machine.WORLD_DIR, paths.COROSYNC_AUTHKEY.read_bytes())
        self._store = Store(paths.REPLICA_DIR, cluster)
        self._client: CorosyncClient | None = None
        self._conf: CorosyncConf | None = None
        self._online: frozenset[int] = frozenset()
        self._reports = Reports(self._node, machine.scaled(REPORT_SECONDS))
        self._members_version = 0
        self._replica_since = 0.0
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._mount_pipe: int | None = None

    def announce_mount_on(self, pipe: int) -> None:
        """Write one byte to the pipe when /etc/pve is mounted."""
        self._mount_pipe = pipe

    def serve(self) -> None:
        """Mount, follow corosync, and return after the unmount."""
        _name_process("pmxcfs")
        # libfuse takes a buffer for each request, which glibc would get from the kernel and give back each time.
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _BUFFERS_STAY_BELOW)
        subprocess.run(["umount", "-l", str(paths.MOUNT_POINT)], check=False, capture_output=True)
        paths.MOUNT_POINT.mkdir(exist_ok=True)
        if not _FUSE_DEVICE.exists():
            os.mknod(_FUSE_DEVICE, stat.S_IFCHR | 0o600, _FUSE_DEVICE_NUMBER)
        PID_FILE.write_text(f"{os.getpid()}\n")
        locks = LockTable(machine.scaled(LOCK_TIMEOUT_SECONDS))
        filesystem = ClusterFilesystem(self._store, self._node, self._generated(), locks, self._changed)
        filesystem.init = self._mounted
        fusepy.FUSE(
            filesystem,
            str(paths.MOUNT_POINT),
            foreground=True,
            allow_other=True,
            default_permissions=True,
            fsname="/dev/fuse",
            direct_io=True,
            # Without it libfuse renames a file aside that is replaced while open: readers would find none for a moment.
            hard_remove=True,
            # A program that wrote below the mount point while pmxcfs was down shall not keep it down.
            nonempty=True,
            attr_timeout=machine.scaled(KERNEL_REMEMBERS_SECONDS),
            entry_timeout=machine.scaled(KERNEL_REMEMBERS_SECONDS),
            negative_timeout=0,
            # One request after another: to wake another thread for each takes longer than the request.
            nothreads=True,
        )
        self._stop.set()
        self._store.refresh_replica(wholly=True)
        PID_FILE.unlink(missing_ok=True)

    def _generated(self) -> dict[str, Callable[[], str]]:
        return {
            ".members": Remembered(lambda: self._view().render()),
            ".rrd": Remembered(lambda: self._reports.render(self._view())),
            ".version": Remembered(lambda: json.dumps({"version": self._members_version}) + "\n"),
            ".vmlist": Remembered(lambda: render_guests(self._store.root)),
        }

    def _mounted(self, path: str) -> None:  # noqa: ARG002 - FUSE's signature
        if self._store.cluster is None:
            _log("local mode: no corosync.conf, quorum forced")
        else:
            distribute(self._store.root / "corosync.conf", paths.LOCAL_COROSYNC_CONF, _log)
            threading.Thread(target=self._follow_corosync, daemon=True).start()
        if self._mount_pipe is not None:
            os.write(self._mount_pipe, b"1")
            os.close(self._mount_pipe)
            self._mount_pipe = None

    def _changed(self, path: str) -> None:
        if path == "/corosync.conf":
            self._wake.set()

    def _follow_corosync(self) -> None:
        while not self._stop.is_set():
            try:
                self._poll()
            except Exception as error:  # noqa: BLE001 - a failed round must not end quorum supervision
                _log(f"[status] crit: {type(error).__name__}: {error}")
            self._wake.wait(POLL_SECONDS)
            self._wake.clear()
        if self._client:
            self._client.close()

    def _poll(self) -> None:
        quorate, online = self._ask_corosync()
        if quorate != self._store.writable:
            _log("node has quorum" if quorate else "node lost quorum")
        self._store.set_quorate(quorate=quorate)
        if online != self._online:
            self._online = online
            self._members_version += 1
            self._reports.render(self._view())  # from now on
        if not self._store.writable:
            return
        self._publish_address()
        if distribute(self._store.root / "corosync.conf", paths.LOCAL_COROSYNC_CONF, _log):
            self._members_version += 1
            reload_corosync(_log)
        if time.monotonic() - self._replica_since >= REPLICA_SECONDS:
            self._replica_since = time.monotonic()
            self._store.refresh_replica()

    def _ask_corosync(self) -> tuple[bool, frozenset[int]]:
        try:
            if self._client is None:
                self._client = CorosyncClient(paths.PROCESS_GROUP)
            return self._client.quorate(), self._client.members()
        except CorosyncUnavailable:
            if self._client:
                self._client.close()
                self._client = None
            return False, frozenset()

    def _address_file(self, node: str) -> Path | None:
        return self._store.cluster / "addresses" / node if self._store.cluster else None

    def _publish_address(self) -> None:
        published = self._address_file(self._node)
        if published and not (published.exists() and published.read_text() == self._address):
            published.parent.mkdir(exist_ok=True)
            published.write_text(self._address)

    def _view(self) -> ClusterView:
        if self._store.cluster:
            # The real one asks corosync, which goes on with what it has loaded when the file is broken.
            self._conf = read_conf(self._store.root / "corosync.conf") or self._conf
        conf = self._conf
        addresses = {}
        for node in conf.nodes if conf else ():
            published = self._address_file(node)
            if published and published.exists():
                addresses[node] = published.read_text()
        return ClusterView(self._node, conf, self._store.writable, self._online, addresses, self._members_version)


def _daemonize_until_mounted(daemon: Daemon) -> None:
    """Leave through the parent once the child has mounted /etc/pve; return in the child only."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        mounted = os.read(reading, 1)
        if not mounted:
            _fail("unable to mount /etc/pve")
        os._exit(0)
    os.close(reading)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.chdir("/")
    daemon.announce_mount_on(writing)


def _name_process(name: str) -> None:
    """`killall pmxcfs` of Proxmox' documentation finds the process by this name."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def _log(message: str) -> None:
    syslog.openlog("pmxcfs", syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_NOTICE, message)


def _fail(message: str) -> NoReturn:
    _log(f"[main] crit: {message}")
    sys.stderr.write(f"[main] crit: {message}\n[main] notice: exit proxmox configuration filesystem (-1)\n")
    raise SystemExit(255)
