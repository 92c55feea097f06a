"""Starting the lab, finding a running one, and removing every trace of it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lab import asking
from lab.errors import LabError
from lab.image import libvirt_image, root_image
from lab.machine import cgroups
from lab.options import Options, write_record
from lab.settings import NODE_FILES, PROJECT
from lab.shape import SHAPES
from lab.world import host, saves
from tools import attended
from tools.invoker import Invoker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.asking import Message
    from lab.settings import Settings

NAMESPACES = (
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation",
    "private",
)
UP_TIMEOUT_S = 180.0
DEATH_WAIT_S = 10.0
BUSY_S = 300.0  # more than a start takes
SAVE_S = 600.0  # all machines stop and start
FOREIGN_VARIABLES = frozenset({"PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_BACKEND_URL"})


def start_time(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; it distinguishes a process from a later one with its number."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]


def holder(settings: Settings) -> int | None:
    """The process that holds the lab's namespaces, if it lives."""
    try:
        record = json.loads(settings.record.read_text())
    except (OSError, ValueError):
        return None
    pid: int = record["pid"]
    return pid if start_time(pid) == record["start_time"] else None


def init_process(settings: Settings) -> int:
    """The first process inside the lab's process namespace, as seen from outside.

    Raises:
        LabError: lab-not-running.
    """
    pid = holder(settings)
    if pid is not None:
        with suppress(OSError, IndexError):
            return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    raise not_running()


def not_running() -> LabError:
    """The refusal of commands that need a lab."""
    return LabError("lab-not-running", "there is no running lab", next_step="make up, with STACK= if you gave it")


def ask(settings: Settings, message: Message, timeout_s: float = 120) -> Message:
    """Ask the running lab.

    Raises:
        LabError: lab-not-running, or what the lab refused.
    """
    try:
        return asking.request(settings.control_socket, message, timeout_s)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise not_running() from error
    except OSError as error:
        raise LabError(
            "lab-broken",
            f"the lab does not answer: {error}",
            next_step="make in-lab DO=down, then make up",
        ) from error


def running_options(settings: Settings) -> Options | None:
    """The options of the running, ready lab; None when there is none or it is not whole."""
    if holder(settings) is None:
        return None
    try:
        status = ask(settings, {"op": "status"}, timeout_s=10)
    except LabError:
        return None
    if not status["ready"]:
        return None
    options = status["options"]
    return Options(**{**options, "owner": tuple(options["owner"])})


def up(settings: Settings, options: Options, say: Callable[[str], None]) -> bool:
    """Make sure the lab runs; returns whether anything had to be done.

    Raises:
        LabError: the host cannot carry it, another shape runs, or the start failed.
    """
    running = running_options(settings)
    if running is not None:
        if running != options:
            raise LabError(
                "lab-differs",
                "a lab with other options is running",
                observed=str(asdict(running)),
                expected=str(asdict(options)),
                next_step="make in-lab DO=down",
            )
        return False
    host.ensure_packages(say)
    host.ensure_inotify(say)
    tar = _images(settings, options, say)
    with _alone(settings):
        if running_options(settings) == options:
            return False  # somebody else was quicker
        _remove(settings)
        settings.state.mkdir(parents=True)
        _launch(settings, options, tar, say)
    return True


def _images(settings: Settings, options: Options, say: Callable[[str], None]) -> Path:
    """What this lab's machines are made from, made first if the cache has it not; the root image, beside which the rest is."""
    tar = root_image.ensure(settings.cache, options.owner, say)
    if SHAPES[options.shape].has_libvirt:
        libvirt_image.ensure(tar, options.owner, say)
    return tar


def save(settings: Settings, directory: Path, name: str) -> None:
    """Keep what the running lab is now, as the save `name`. Its machines are off meanwhile, and on again afterwards.

    Raises:
        LabError: lab-not-running, lab-not-at-rest, or what saves.making refuses.
    """
    options = running_options(settings)
    if options is None:
        raise not_running()
    with saves.making(directory, name) as partial:
        answer = ask(settings, {"op": "save", "file": str(partial / saves.PACKED)}, timeout_s=SAVE_S)
        saves.keep_stacks(partial, settings.instance.read_text())
        saves.write(partial, saves.Facts(saves.version(), options, saves.machines(answer["machines"])))


def restore(settings: Settings, directory: Path, name: str, owner: tuple[int, int], say: Callable[[str], None]) -> None:
    """Bring up the lab that a save holds, where none is.

    Raises:
        LabError: lab-save-unknown, lab-save-differs, lab-save-stack, lab-running, or why it could not start.
    """
    kept = saves.find(directory, name)
    options = replace(saves.read(kept).options, owner=owner)
    saves.refuse_stacks(kept)
    host.ensure_packages(say)
    host.ensure_inotify(say)
    tar = _images(settings, options, say)
    with _alone(settings):
        if running_options(settings) is not None:
            raise LabError(
                "lab-running",
                "a lab is running, and would be lost",
                expected="none",
                next_step="make in-lab DO=down, then again",
            )
        _remove(settings)
        settings.state.mkdir(parents=True)
        saves.put_stacks_back(kept, owner)
        _launch(settings, options, tar, say, kept)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One command at a time starts or removes labs in a directory; a lock on it leaves no file behind.

    Raises:
        LabError: lab-busy.
    """
    settings.state.parent.mkdir(parents=True, exist_ok=True)
    directory = os.open(settings.state.parent, os.O_RDONLY)
    try:
        _lock(directory, settings)
        yield
    finally:
        os.close(directory)


def _lock(directory: int, settings: Settings) -> None:
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise LabError(
                "lab-busy",
                "another command starts or removes a lab",
                observed=f"{settings.state.parent} is locked since more than {BUSY_S:g} s",
                expected="one such command at a time",
                next_step=f"wait for it, or look for its process with: fuser -v {settings.state.parent}",
            ) from None
        return


def _launch(
    settings: Settings, options: Options, tar: Path, say: Callable[[str], None], save: Path | None = None
) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{PROJECT}:{NODE_FILES}",  # the installer uses the node code that knows answer files
        "NESTED_PVE_LAB_STATE": str(settings.state),
        "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
    }
    command = [*NAMESPACES, sys.executable, "-m", "lab.world.daemon", str(tar), json.dumps(asdict(options))]
    if save is not None:
        command.append(str(save))
    root = cgroups.mounted_root()
    if root is not None:  # out of the session that starts the lab, which may end before it
        command = cgroups.entering(cgroups.create(settings.identity, "lab", root), *command)
    with settings.daemon_log.open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True, cwd="/"
        )
    write_record(settings, options, process.pid, start_time(process.pid) or "")
    deadline = time.monotonic() + UP_TIMEOUT_S
    stage = ""
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(LabError):
            status = ask(settings, {"op": "status"}, timeout_s=30)
            if status["ready"]:
                return
            if status["stage"] != stage:
                stage = status["stage"]
                say(stage)
        time.sleep(0.05)
    observed = settings.daemon_log.read_text(errors="replace")[-1500:]
    kill_holder(settings)
    raise LabError("lab-start-failed", f"the lab did not come up (stage: {stage})", observed=observed)


def kill_holder(settings: Settings) -> None:
    """End the lab at once: its process namespace takes every process, mount and network namespace with it."""
    pid = holder(settings)
    if pid is None:
        return
    inside: int | None = None
    with suppress(LabError):
        inside = init_process(settings)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + DEATH_WAIT_S
    for gone in (pid, inside):
        while gone is not None and _alive(gone) and time.monotonic() < deadline:
            time.sleep(0.01)


def _alive(pid: int) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def remove(settings: Settings) -> None:
    """Remove a lab, whole or in pieces: processes, namespaces, mounts, cgroups, files. No effect if there is none."""
    with _alone(settings):
        _remove(settings)


def _remove(settings: Settings) -> None:
    kill_holder(settings)
    root = cgroups.mounted_root()
    if root is not None:
        cgroups.kill(root / settings.identity)
    if settings.state.exists():
        shutil.rmtree(settings.state)


def way_in(settings: Settings) -> list[str]:
    """What to put before a command to run it on the control machine, as root.

    Raises:
        LabError: lab-not-running.
    """
    return ["nsenter", f"--target={init_process(settings)}", "--net", "--mount", "--pid"]


def enter(settings: Settings, command: list[str], caller: int = 0) -> int:
    """Run `command` on the control machine, as the invoking user, with this environment and directory.

    What asks this process to end asks the command, and its end is waited for.

    Args:
        settings: of the lab.
        command: with its arguments.
        caller: the process number of the make that is served; 0 for none.

    Returns:
        The command's exit code, less than 0 where a signal ended it.

    Raises:
        LabError: lab-not-running.
    """
    way = way_in(settings)
    invoker = Invoker.current()
    if invoker.uid != 0:
        way += ["setpriv", f"--reuid={invoker.uid}", f"--regid={invoker.gid}", "--init-groups"]
    # What is set for stacks of one's own does not belong here.
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    environment = {
        **kept,
        # The salts of the lab's stack files belong to this passphrase, which protects nothing: the lab's secrets are
        # made per machine, and live in the state of this machine only.
        "PULUMI_CONFIG_PASSPHRASE": "lab-only",
        "NESTED_PVE_CREDENTIALS": str(settings.credentials),
        "NESTED_PVE_LAB_STATE": str(settings.state),
        "NESTED_PVE_SITE_INSTANCE": settings.instance.read_text(),
        "NESTED_PVE_SITE_TIME_SCALE": str(json.loads(settings.record.read_text())["options"]["time_scale"]),
    }
    if invoker.uid != 0:
        environment |= {"HOME": str(invoker.home), "USER": invoker.name, "LOGNAME": invoker.name}
    # The shell's directory is lost on the way into another mount namespace.
    return attended.run(["env", f"--chdir={Path.cwd()}", "--", *command], environment, caller=caller, way=way)
