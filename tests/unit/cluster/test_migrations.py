"""Which migrations run on a machine: by its list of tasks, and by whether their processes are alive."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
from pvelab import paths, tasks

from cluster import migrations, proxmox_ve
from tests.support import node_root


def upid(kind: str, guest: str, pid: int, start: int) -> str:
    return f"UPID:pve1:{pid:08X}:{start:08X}:6927A0B1:{kind}:{guest}:root@pam:"


def started(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_task_counts_while_its_process_lives(tmp_path: Path, shell: str) -> None:
    """As it is run there, with a list as Proxmox VE writes it: running ones, ended ones, and those of before a power cut."""
    own, start = os.getpid(), started(os.getpid())
    listed = [
        f"{upid('qmigrate', '200', own, start)} 0",
        upid("vzmigrate", "300", own, start),  # nothing after its name
        f"{upid('qmigrate', '201', own, start + 1)} 0",  # another process has its number by now
        f"{upid('qmigrate', '202', 2**22 + 1, start)} 0",  # no such process
        f"{upid('vzdump', '203', own, start)} 0",
        f"{upid('vzdump', '', own, start)} 0",
        f"{upid('vzdump', '205', own, start + 1)} 0",
        f"{upid('qmigrate', '204', 1, 1)} 1 6927A0C0 migration aborted",
    ]
    (tmp_path / "var/log/pve/tasks").mkdir(parents=True)
    (tmp_path / "var/log/pve/tasks/active").write_text("".join(f"{line}\n" for line in listed))
    done = subprocess.run([shell, "-c", migrations.READ], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert migrations.running(done.stdout) == {"vm:200", "ct:300"}
    assert migrations.backups(done.stdout) == {"a backup of guest 203 runs on pve1", "a backup runs on pve1"}
    assert done.stderr == ""


def test_a_machine_without_tasks_runs_none(tmp_path: Path) -> None:
    done = subprocess.run(["sh", "-c", migrations.READ], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert migrations.running(done.stdout) == migrations.backups(done.stdout) == frozenset()


def test_a_member_is_asked_with_all_else() -> None:
    assert migrations.READ in proxmox_ve.READ


def test_the_labs_nodes_list_their_tasks_as_proxmox_ve_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node_root.make(tmp_path, monkeypatch)
    begun, over = threading.Event(), threading.Event()

    def work(_log: object) -> None:
        begun.set()
        over.wait(30)

    upid = tasks.BackgroundRunner().start("qmigrate", "200", "root@pam", work)
    assert begun.wait(30)
    active = paths.path(tasks.TASK_DIRECTORY) / "active"
    assert active.read_text() == f"{upid} 0\n"
    command = migrations.READ.replace("var/log/pve/tasks/active", str(active))
    assert migrations.running(
        subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    ) == {"vm:200"}
    over.set()
    while tasks.exit_status(tasks.parse_upid(upid)) is None or active.read_text():
        time.sleep(0.02)
    assert (
        migrations.running(subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout)
        == set()
    )
    assert [(task["id"], task["status"]) for task in tasks.listing()] == [("200", "OK")]
