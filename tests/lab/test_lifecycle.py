"""Nothing of a lab is left behind, however it ends; a broken one is cleared away, never tripped over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.machine.cgroups import mounted_root
from lab.settings import Settings
from lab.world import host
from tests.lab.conftest import PROJECT, Lab, eventually

STARTED = time.time()


def traces(lab: Lab) -> dict[str, list[str]]:
    """What the machine below shows of this lab."""
    identity = Settings(lab.state, lab.state).identity
    root = mounted_root()
    assert root is not None
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(lab.state) in line]
    names = Path("/run/netns")
    namespaces = [path.name for path in names.iterdir() if path.stat().st_mtime > STARTED] if names.exists() else []
    return {
        "processes": [pid for pid in processes() if str(lab.state) in command_line(pid)],
        "mounts": mounts,
        "cgroups": [str(path) for path in root.glob(identity)],
        "namespaces": namespaces,
        "files": [str(lab.state)] if lab.state.exists() else [],
    }


def processes() -> list[str]:
    return [name.name for name in Path("/proc").iterdir() if name.name.isdigit()]


def command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def no_traces() -> dict[str, list[str]]:
    return {"processes": [], "mounts": [], "cgroups": [], "namespaces": [], "files": []}


def test_the_callers_home_is_not_looked_for_inside(spare_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository's signing key was once to be made below it, in a root directory that has no such place."""
    monkeypatch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")))
    monkeypatch.setenv("HOME", "/home/of/the/caller")
    spare_lab.do("up")
    spare_lab.do("down")


def test_down_leaves_nothing(spare_lab: Lab) -> None:
    spare_lab.do("up")
    seen = traces(spare_lab)
    # The control: while it runs, it can be seen, but neither its mounts nor its network namespaces.
    assert seen["processes"]
    assert seen["cgroups"]
    assert seen["files"]
    assert not seen["mounts"]
    assert not seen["namespaces"]

    spare_lab.do("down")

    assert traces(spare_lab) == no_traces()


def find_process(lab: Lab, text: str) -> int:
    found = [int(pid) for pid in processes() if text in command_line(pid) and str(lab.state) in command_line(pid)]
    assert found, text
    return max(found)


@pytest.mark.parametrize("victim", ["unshare", "daemon"])
def test_a_killed_lab_is_gone_and_comes_up_again(spare_lab: Lab, victim: str) -> None:
    spare_lab.do("up")
    # Both the namespaces' holder and the daemon carry the state directory only in their environment or image path.
    pid = int(spare_lab.record()["pid"])
    if victim == "daemon":
        pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)

    eventually(lambda: not traces(spare_lab)["processes"], "all processes of the lab are gone", 10)
    assert not traces(spare_lab)["mounts"]
    refusal = spare_lab.cli("status")
    assert refusal.returncode == 1
    assert "error[lab-not-running]" in refusal.stderr

    spare_lab.do("up")
    assert spare_lab.answers("192.168.0.180")


def test_a_start_that_is_killed_half_way_leaves_no_second_lab(spare_lab: Lab) -> None:
    spare_lab.do("down")
    starting = subprocess.Popen([sys.executable, "-m", "lab", "up"], env=spare_lab.environment, cwd=PROJECT)
    eventually(lambda: bool(traces(spare_lab)["cgroups"]), "the daemon starts")
    starting.kill()
    starting.wait()

    spare_lab.do("up")

    holders = [pid for pid in processes() if command_line(pid).startswith("unshare") and is_of(spare_lab, pid)]
    assert holders == [str(spare_lab.record()["pid"])]


def is_of(lab: Lab, pid: str) -> bool:
    return f"NESTED_PVE_LAB_STATE={lab.state}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def test_amd_processors_have_their_own_module(spare_lab: Lab) -> None:
    spare_lab.do("down")
    spare_lab.do("up", "--cpu-vendor", "amd")
    parameter = "/sys/module/kvm_amd/parameters/nested"
    assert spare_lab.sh("192.168.0.180", f"grep -cw svm /proc/cpuinfo; cat {parameter}").split()[1] == "0"
    spare_lab.sh("192.168.0.180", "modprobe -r kvm_amd && modprobe kvm_amd nested=1")
    assert spare_lab.sh("192.168.0.180", f"cat {parameter}").strip() == "1"
    spare_lab.do("down")


def test_a_killed_machine_is_off_and_starts_again(spare_lab: Lab) -> None:
    spare_lab.do("up")
    os.kill(find_process(spare_lab, "systemd-nspawn"), signal.SIGKILL)

    eventually(lambda: not spare_lab.power("virtual"), "the machine counts as off", 10)
    assert not spare_lab.answers("192.168.0.180")

    spare_lab.do("node", "start", "virtual")
    eventually(lambda: spare_lab.answers("192.168.0.180"), "it is back")


def test_the_status_for_programs_is_what_the_lab_answers(lab: Lab) -> None:
    printed = json.loads(lab.do("status", "--json"))
    assert printed == lab.status()
    assert [machine["name"] for machine in printed["machines"]] == ["virtual"]


def test_up_again_changes_nothing(lab: Lab) -> None:
    before = lab.record()
    assert "already up" in lab.do("up")
    assert lab.record() == before


def test_up_with_other_options_is_refused(lab: Lab) -> None:
    refusal = lab.cli("up", "--shape", "physical")
    assert refusal.returncode == 1
    assert "error[lab-differs]" in refusal.stderr
    assert "Traceback" not in refusal.stderr


def test_half_a_lab_is_cleared_away(spare_lab: Lab) -> None:
    spare_lab.do("down")
    spare_lab.state.mkdir()
    (spare_lab.state / "lab.json").write_text('{"pid": 1, "start_time": "0", "options": {}}')
    (spare_lab.state / "image").mkdir()
    (spare_lab.state / "leftover").write_text("from a lab that died")

    spare_lab.do("up")

    assert not (spare_lab.state / "leftover").exists()


def test_down_without_a_lab_succeeds(spare_lab: Lab) -> None:
    spare_lab.do("down")


def test_nothing_reaches_another_network(lab: Lab) -> None:
    assert lab.answers("192.168.0.180")  # the control
    assert "Network is unreachable" in lab.run("bash", "-c", "exec 3<>/dev/tcp/192.0.2.1/22").stderr
    assert lab.ssh("192.168.0.180", "ping -c1 -W1 192.0.2.1").returncode != 0
    assert lab.run("ip", "route", "show", "default").stdout == ""
    assert lab.run("getent", "hosts", "download.proxmox.com").stdout.split()[0] == "192.168.0.5"
    assert lab.run("getent", "hosts", "www.example.org").returncode != 0


def test_machines_take_the_byte_code_of_debians_modules_from_the_image(lab: Lab) -> None:
    place = "/run/pve-lab/world/pycache/usr"
    counted = f"find {place}/share/pve-lab -type f | wc -l; find {place}/lib -type l | wc -l; find {place}/lib -type f"
    compiled, taken, *anew = lab.sh("192.168.0.180", f"pvesh get /version >&2; {counted}").split()
    assert int(compiled) > 0  # the control: this is where Python looks and writes
    assert int(taken) > 0
    assert anew == []


def test_environment_and_directory_reach_the_command(lab: Lab) -> None:
    done = lab.run("sh", "-c", "pwd; echo $NESTED_PVE_CREDENTIALS")
    directory, credentials = done.stdout.split()
    assert directory == str(Path.cwd())
    assert credentials == str(lab.state / "credentials.json")
    assert Path(credentials).stat().st_mode & 0o777 == 0o600


def test_other_systems_are_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(LabError, match=r"error\[lab-needs-linux\]") as refusal:
        host.require_linux()
    assert "existing" in refusal.value.next_step


def test_a_plain_user_is_told_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r"error\[lab-needs-root\]") as refusal:
        host.require_root("up")
    assert "sudo" in refusal.value.next_step


def test_missing_programs_are_named_where_there_is_no_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(LabError, match=r"error\[lab-host-packages\]") as refusal:
        host.ensure_packages(lambda _: None)
    assert "systemd-container" in refusal.value.observed
