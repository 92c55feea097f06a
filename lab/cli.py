"""The lab's command line, as `sudo .venv/bin/python -m lab …`.

Without a command, it lists those that break something and repair it, as `make in-lab` takes them. Usage::

    lab up [--shape default|witness|physical|libvirt]   bring the lab up (no effect when it runs)
    lab run -- COMMAND…                   run a command on the control machine
    lab status [--json]
    lab node start|stop|kill|reboot NAME
    lab node console NAME                 a root shell on a machine; --log prints its console
    lab link cut|restore NODE LINK        LINK: 0 or 1
    lab storage cut|restore NODE
    lab reset                             fresh machines, same credentials
    lab save NAME                         keep the lab as it is now; its machines restart
    lab restore NAME                      bring it up again, as it was then
    lab forget NAME                       remove what was kept
    lab down [--purge]                    remove every trace [and the cached image]
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from lab.errors import LabError
from lab.options import Options
from lab.settings import Settings
from lab.shape import SHAPES
from lab.world import host, lifecycle, saves
from tools import attended
from tools.invoker import Invoker

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(invoke_without_command=True, add_completion=False)
node = typer.Typer(help="Power of one machine.", no_args_is_help=True)
link = typer.Typer(help="Cut or mend a cluster link of one node.", no_args_is_help=True)
storage = typer.Typer(help="Cut or mend a node's way to the shared storage.", no_args_is_help=True)
app.add_typer(node, name="node")
app.add_typer(link, name="link")
app.add_typer(storage, name="storage")
out = Console()

# What `make` calls itself is no example.
OWN = ("up", "down", "run", "reset")
EXAMPLES = {"name": "proxmox02", "number": "0", "save": "formed"}

Name = Annotated[str, typer.Argument(help="machine, as `status` names it")]
Save = Annotated[str, typer.Argument(help="small letters, digits and hyphens")]
Saves = Annotated[Path | None, typer.Option(help="where saves are; the cache if not given")]
Link = Annotated[str, typer.Argument(help="link number, 0 or 1")]


def _say(text: str) -> None:
    out.print(f"  {text}", highlight=False, markup=False)


@app.callback()
def start(context: typer.Context) -> None:
    """The lab: an isolated world for the cluster, on this machine."""
    if context.invoked_subcommand is not None:
        return
    lines = {
        f"make in-lab DO={shlex.quote(' '.join(words))}": helped for words, helped in _examples(context.command, [])
    }
    width = max(map(len, lines))
    for line, helped in lines.items():
        typer.echo(f"{line:{width}}  # {helped}")
    typer.echo("\nThe options of a command: make in-lab DO='node console --help'")


def _examples(command: Any, words: list[str]) -> Iterator[tuple[list[str], str]]:  # noqa: ANN401 - typer's own classes
    """Each command below this one with example arguments, and what it does."""
    for name, below in getattr(command, "commands", {}).items():
        if name not in OWN:
            yield from _examples(below, [*words, name])
    if words and not hasattr(command, "commands"):
        arguments = [EXAMPLES[one.name] for one in command.params if one.name in EXAMPLES]
        yield [*words, *arguments], command.help


@app.command()
def up(
    shape: Annotated[str, typer.Option(help=f"one of: {', '.join(SHAPES)}")] = "default",
    cpu_vendor: Annotated[str, typer.Option(help="whose processors the machines have: intel or amd")] = "intel",
    time_scale: Annotated[float, typer.Option(help="factor on the delays of HA")] = 0.1,
) -> None:
    """Bring the lab up; no effect when it runs. Needs root."""
    host.require_linux()
    host.require_root("up")
    invoker = Invoker.current()
    options = Options(shape=shape, cpu_vendor=cpu_vendor, time_scale=time_scale, owner=(invoker.uid, invoker.gid))
    started = time.monotonic()
    if lifecycle.up(Settings.from_environment(), options, _say):
        _say(f"lab is up after {time.monotonic() - started:.1f} s")
    else:
        _say("lab is already up")


@app.command()
def down(
    *, purge: Annotated[bool, typer.Option("--purge", help="the cached root image too; saves stay")] = False
) -> None:
    """Remove the lab and every trace of it. Needs root."""
    host.require_linux()
    host.require_root("down")
    settings = Settings.from_environment()
    lifecycle.remove(settings)
    if purge:
        remove_images(settings)


def remove_images(settings: Settings) -> None:
    """Remove what can be made again; what people saved cannot."""
    for path in settings.cache.glob("*"):
        if path != settings.saves:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@app.command()
def status(*, as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False) -> None:
    """Show the machines of the running lab."""
    answer = lifecycle.ask(Settings.from_environment(), {"op": "status"})
    if as_json:
        out.print_json(json.dumps(answer))
        return
    options = answer["options"]
    out.print(
        f"shape {options['shape']}, {answer['stage']}; HA delays x {options['time_scale']} (time scale)",
        highlight=False,
    )
    table = Table("machine", "kind", "power", "cut", "console")
    for machine in answer["machines"]:
        power = "on" if machine["on"] else "off"
        table.add_row(machine["name"], machine["kind"], power, " ".join(machine["cut"]), machine["console"])
    out.print(table)


@app.command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})
def run(
    command: Annotated[list[str], typer.Argument(help="after --")],
    *,
    caller: Annotated[int, typer.Option(help="number of a make process, whose end ends the command")] = 0,
) -> None:
    """Run a command on the control machine, as the user who called sudo. Needs root."""
    host.require_root("run")
    attended.end(lifecycle.enter(Settings.from_environment(), command, caller))


@app.command()
def reset() -> None:
    """Back to fresh machines; the credentials stay."""
    lifecycle.ask(Settings.from_environment(), {"op": "reset"})


def _saves(directory: Path | None) -> Path:
    return directory.absolute() if directory else Settings.from_environment().saves


@app.command()
def save(save: Save, *, directory: Saves = None) -> None:
    """Keep the lab as it is now, under a name; its machines shut down and start again. Needs root."""
    host.require_root("save")
    started = time.monotonic()
    lifecycle.save(Settings.from_environment(), _saves(directory), save)
    _say(f"saved as {save} after {time.monotonic() - started:.1f} s")


@app.command()
def restore(save: Save, *, directory: Saves = None) -> None:
    """Bring up a lab that was saved, with the states of its stacks. Needs root."""
    host.require_linux()
    host.require_root("restore")
    invoker = Invoker.current()
    started = time.monotonic()
    lifecycle.restore(Settings.from_environment(), _saves(directory), save, (invoker.uid, invoker.gid), _say)
    _say(f"lab is up as it was saved, after {time.monotonic() - started:.1f} s")


@app.command()
def forget(save: Save, *, directory: Saves = None) -> None:
    """Remove a save. Needs root."""
    host.require_root("forget")
    saves.forget(_saves(directory), save)


def _power(name: str, action: str) -> None:
    lifecycle.ask(Settings.from_environment(), {"op": "node", "name": name, "action": action})
    _say(f"{name}: {action} done")


@node.command("start")
def node_start(name: Name) -> None:
    """Power on."""
    _power(name, "start")


@node.command("stop")
def node_stop(name: Name) -> None:
    """Shut down cleanly."""
    _power(name, "stop")


@node.command("kill")
def node_kill(name: Name) -> None:
    """Cut the power."""
    _power(name, "kill")


@node.command("reboot")
def node_reboot(name: Name) -> None:
    """Reboot cleanly."""
    _power(name, "reboot")


@node.command("console")
def node_console(
    name: Name, *, log: Annotated[bool, typer.Option("--log", help="print the console log")] = False
) -> None:
    """Open a root shell on a machine, or print what its console showed. Needs root."""
    settings = Settings.from_environment()
    if log:
        machines = lifecycle.ask(settings, {"op": "status"})["machines"]
        for machine in machines:
            if machine["name"] == name:
                sys.stdout.write(open(machine["console"], errors="replace").read())  # noqa: PTH123, SIM115
        return
    host.require_root("node console")
    leader = lifecycle.ask(settings, {"op": "leader", "name": name})["pid"]
    inside = lifecycle.init_process(settings)
    shell = ["nsenter", f"--target={leader}", "--all", "--", "/bin/bash", "--login"]
    os.execvp("nsenter", ["nsenter", f"--target={inside}", "--mount", "--pid", "--", *shell])  # noqa: S606


def _cable(name: str, selector: str, *, connected: bool) -> None:
    lifecycle.ask(
        Settings.from_environment(), {"op": "cable", "name": name, "selector": selector, "connected": connected}
    )
    _say(
        f"{name}: {'storage network' if selector == 'storage' else f'link {selector}'} {'restored' if connected else 'cut'}"
    )


@link.command("cut")
def link_cut(name: Name, number: Link) -> None:
    """Unplug the cable of a link."""
    _cable(name, number, connected=False)


@link.command("restore")
def link_restore(name: Name, number: Link) -> None:
    """Plug the cable in again."""
    _cable(name, number, connected=True)


@storage.command("cut")
def storage_cut(name: Name) -> None:
    """Unplug the storage network."""
    _cable(name, "storage", connected=False)


@storage.command("restore")
def storage_restore(name: Name) -> None:
    """Plug the storage network in again."""
    _cable(name, "storage", connected=True)


def main() -> int:
    """Run the command line; a refusal is printed with its code and exits 1."""
    try:
        app()
    except LabError as error:
        Console(stderr=True).print(str(error), highlight=False, markup=False, soft_wrap=True)
        return 1
    return 0
