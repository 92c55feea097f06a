"""What the engine gets of the caller's environment, what is said of the rest, and what the caller's habits change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli import description, shell
from cli.engine import environment
from cli.looks import trust
from cluster.errors import AdminError
from toolchain import home
from toolchain.home import PulumiHome

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[4]
FOREIGN = {
    "PROXMOX_VE_API_TOKEN": "of another cluster",
    "PROXMOX_VE_INSECURE": "true",
    "https_proxy": "http://proxy.example:3128",
    "HTTPS_PROXY": "http://proxy.example:3128",
    "no_proxy": "localhost",
    "SSH_AUTH_SOCK": "/run/agent",
    "PULUMI_PARALLEL": "1",
    "PYTHONPATH": "/somewhere",
    "VIRTUAL_ENV": "/somewhere/else",
    "LC_ALL": "de_DE.ISO-8859-1",
    "LANGUAGE": "de",
    "GODEBUG": "x509ignoreCN=0",
    "DISPLAY": ":0",
}
MEANT = {
    "HOME": "/home/me",
    "TERM": "xterm",
    "XDG_CACHE_HOME": "/cache",
    "AWS_ACCESS_KEY_ID": "id",
    "AZURE_STORAGE_ACCOUNT": "account",
    "GOOGLE_CREDENTIALS": "{}",
    "PGPASSWORD": "word",
    "VAULT_ADDR": "https://vault.example",
    "PULUMI_CONFIG_PASSPHRASE": "phrase",
    "PULUMI_ACCESS_TOKEN": "token",
    "NESTED_PVE_CREDENTIALS": "/credentials.json",
    "SSL_CERT_FILE": "/company.pem",
}


@pytest.fixture
def calling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """The engine's environment, for somebody whose environment is this."""
    toolchain = PulumiHome(programs=tmp_path / "bin", path=tmp_path)
    monkeypatch.setattr(home, "selected_home", lambda: toolchain)
    environment._report_once.cache_clear()

    def call(**given: str) -> dict[str, str]:
        for name in os.environ:
            monkeypatch.delenv(name)
        for name, value in {"PATH": "/usr/bin:/bin", "PULUMI_BACKEND_URL": tmp_path.as_uri(), **given}.items():
            monkeypatch.setenv(name, value)
        return environment.for_engine()

    return call


def test_the_engine_gets_what_is_meant_for_it_and_nothing_else(calling: Callable[..., dict[str, str]]) -> None:
    got = calling(**FOREIGN, **MEANT)
    assert not FOREIGN.keys() & got.keys()
    assert MEANT.items() <= got.items()
    assert got["LANG"] == "C.UTF-8"
    assert got["PATH"].endswith("/bin:/usr/bin:/bin")


def test_what_is_taken_away_is_said_once_by_name(
    calling: Callable[..., dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        calling(**FOREIGN, **MEANT)
    said = capsys.readouterr()
    names = "PROXMOX_VE_API_TOKEN, PROXMOX_VE_INSECURE, PULUMI_PARALLEL"
    assert said.err == f"not passed on to the engine: {names} (docs/config.md#environment)\n"
    assert not said.out


def test_a_proxy_matters_where_the_state_is_kept_elsewhere(
    calling: Callable[..., dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    calling(https_proxy="http://me:word@proxy.example")
    assert not capsys.readouterr().err
    calling(https_proxy="http://me:word@proxy.example", PULUMI_BACKEND_URL="s3://bucket")
    assert capsys.readouterr().err == "not passed on to the engine: https_proxy (docs/config.md#environment)\n"


def test_nothing_is_said_of_what_this_program_set_itself(
    calling: Callable[..., dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    within = calling() | {"PULUMI_STACK": "home", "PROXMOX_VE_ENDPOINT": "https://192.0.2.1:8006"}
    calling(**within)
    assert not capsys.readouterr().err


def test_a_shell_of_ones_own_gets_the_same(calling: Callable[..., dict[str, str]]) -> None:
    callers = {**FOREIGN, **MEANT, "PATH": "/usr/bin:/bin"}
    wanted = calling(**callers) | {"SSL_CERT_FILE": "/a bundle's.pem"}
    lines = "\n".join(environment.for_eval(wanted, "home"))
    assert "phrase" not in lines, "what the caller has already is not printed"
    # `env` is a program: it shows what a `pulumi` called here would get.
    done = subprocess.run(
        ["/bin/bash", "-c", 'eval "$1"; env -0', "-", lines],
        env={**os.environ},
        capture_output=True,
        text=True,
        check=True,
    )
    got = dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)
    assert (wanted | {"PULUMI_STACK": "home"}).items() <= got.items()
    harmless = {"VIRTUAL_ENV", "GODEBUG", "DISPLAY"}  # the caller's own business
    assert FOREIGN.keys() & got.keys() == harmless


def test_a_stack_that_is_not_whole_yet_has_a_shell_all_the_same(
    calling: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = calling()

    def read(*_: object) -> None:
        raise description.InvalidConfigError("error[config-invalid]: a key is misspelt")

    monkeypatch.setattr(description, "read", read)
    monkeypatch.setattr(trust, "looked", None)  # no machine is asked
    assert shell.environment_of("home", complete=False) == wanted
    assert "Until this is corrected, pulumi reaches no machine from here." in capsys.readouterr().err
    with pytest.raises(AdminError):
        shell.environment_of("home")


@pytest.mark.parametrize(
    ("stack", "passphrase", "asked_for"),
    [
        ("physical", {"PULUMI_CONFIG_PASSPHRASE": "phrase"}, ["sshPrivateKey", "rootPassword", "apiPassword"]),
        (
            "twonode",
            {},
            ["sshPrivateKey", "rootPassword", "apiPassword", "hostKeySeed", "outerHosts.virtual.password"],
        ),
    ],
)
def test_a_shell_without_credentials_begins_with_how_they_are_set(
    calling: Callable[..., dict[str, str]],
    capsys: pytest.CaptureFixture[str],
    stack: str,
    passphrase: dict[str, str],
    asked_for: list[str],
) -> None:
    wanted = calling(**passphrase)
    assert shell.environment_of(stack, complete=False) == wanted
    told = capsys.readouterr().err
    assert "error" not in told
    setting = f"pulumi config set --stack {stack} --secret --path 'nested-pve-ha:credentials."
    assert [line.partition(setting)[2].partition("'")[0] for line in told.splitlines() if setting in line] == asked_for
    assert f"pulumi stack init {stack} --no-select" in told
    assert ("read -rs PULUMI_CONFIG_PASSPHRASE; export" in told) == (not passphrase)
    assert f"next: make preview STACK={stack}" in told
    with pytest.raises(AdminError) as refused:
        shell.environment_of(stack)
    assert f"fix: `make shell STACK={stack}` has them, or shows the commands that set them" in refused.value.render()
    assert "lab" not in refused.value.render()


@pytest.mark.parametrize("umask", ["0077", "0002", "0777"])
def test_the_callers_umask_changes_nothing(tmp_path: Path, umask: str) -> None:
    # The command is refused at once; the file is made as any later one would be.
    program = (
        "import atexit, runpy, sys; from pathlib import Path; atexit.register(Path(sys.argv.pop()).touch); "
        "runpy.run_module('cli', run_name='__main__', alter_sys=True)"
    )
    made = tmp_path / "made"
    subprocess.run(
        ["/bin/sh", "-c", f'umask {umask}; exec "$@"', "-", sys.executable, "-c", program, "--help", str(made)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    assert made.stat().st_mode & 0o777 == 0o644


def test_the_callers_locale_changes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "changed-stacks", "--base", "höme"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert "höme is no revision" in done.stderr.decode()
