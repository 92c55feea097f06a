"""`pvecm`: manage the cluster from the command line. `create` and `add` exit 0 whatever became of their work."""

from __future__ import annotations

import getpass
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.cli import options
from pvelab.cluster import configuration
from pvelab.corosync.conf import MAX_LINKS
from pvelab.errors import PveError, die

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LINKS = {f"link{number}": False for number in range(MAX_LINKS)}
_NODE = {"nodeid": False, "votes": False}
# Command: names of its arguments, its options (True: may stand without a value).
_COMMANDS: dict[str, tuple[tuple[str, ...], dict[str, bool]]] = {
    "add": (("hostname",), {**_LINKS, **_NODE, "force": True, "fingerprint": False, "use_ssh": True}),
    "addnode": (("node",), {**_LINKS, **_NODE, "force": True, "new_node_ip": False, "apiversion": False}),
    "apiver": ((), {}),
    "create": (("clustername",), {**_LINKS, **_NODE, "token-coefficient": False}),
    "delnode": (("node",), {}),
    "expected": (("expected",), {}),
    "nodes": ((), {}),
    "status": ((), {}),
    "updatecerts": ((), {"force": True, "silent": True}),
}
UPDATECERTS_TIMEOUT_SECONDS = 80


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code is Proxmox'."""
    os.environ["HOME"] = "/root"
    if not arguments or arguments[0] not in _COMMANDS:
        given = f"ERROR: unknown command 'pvecm {arguments[0]}'" if arguments else "ERROR: no command specified"
        options.usage_failure(
            given,
            "USAGE: pvecm <COMMAND> [ARGS] [OPTIONS]\n" + "\n".join(f"       {_usage(name)}" for name in _COMMANDS),
        )
    command = arguments[0]
    positional, known = _COMMANDS[command]
    try:
        parameters = options.parse(arguments[1:], positional, known)
    except options.OptionError as error:
        options.usage_failure(str(error), _usage(command))
    try:
        return _HANDLERS[command](parameters)
    except PveError as error:
        if error.status == 400 and error.errors:  # noqa: PLR2004 - HTTP's Bad Request
            lines = "\n".join(f"{name}: {text}" for name, text in sorted(error.errors.items()))
            options.usage_failure(f"400 {error.message}\n{lines}", _usage(command))
        sys.stderr.write(f"{error.message}\n")
        for _, text in sorted((error.errors or {}).items()):
            sys.stderr.write(f"{text}\n")
        # Without a cluster, Proxmox's own check ends with 2; everything else that dies ends with 255.
        return 2 if error.message.startswith("Error: Corosync config") else 255


def _usage(command: str) -> str:
    positional, known = _COMMANDS[command]
    words = ["pvecm", command, *(f"<{name}>" for name in positional)]
    return " ".join([*words, "[OPTIONS]"] if known else words)


def _validated(method: str, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Parameters checked by the schema of the API method behind the command.

    Raises:
        PveError: 400 with a message for each parameter.
    """
    # Its import takes a third of a second, which the commands without parameters need not wait for.
    from pvelab.apischema import schema  # noqa: PLC0415

    values, errors = schema.validate(schema.load().paths[path][method]["parameters"], dict(parameters))
    if errors:
        raise PveError(
            400, "Parameter verification failed.", {name: text.rstrip("\n") for name, text in errors.items()}
        )
    return dict(values)


def _run_worker(kind: str, ident: str, work: Callable[[Callable[[str], None]], None]) -> int:
    """Work as a task in the foreground: its failure is printed and logged, and not shown by the exit code."""
    from pvelab.tasks import ForegroundRunner  # noqa: PLC0415 - as above

    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    ForegroundRunner().start(kind, ident, "root@pam", work)
    return 0


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001 - a signal handler's signature
    raise die("received interrupt")


def _create(parameters: Mapping[str, str]) -> int:
    from pvelab.cluster import create  # noqa: PLC0415 - as above

    values = _validated("POST", "/cluster/config", parameters)
    create.require_new()
    return _run_worker("clustercreate", values["clustername"], lambda log: create.create(values, log))


def _add(parameters: Mapping[str, str]) -> int:
    from pvelab.cluster import join  # noqa: PLC0415 - as above

    if Path.cwd().is_relative_to("/etc/pve"):
        raise die("Navigate out of /etc/pve before running 'pvecm add', for example by running 'cd'.")
    over_ssh = options.is_set(parameters, "use_ssh")
    # The schema of the join API demands what the command asks for, or does not need.
    stand_ins = {"password": "-", "fingerprint": ":".join(["00"] * 32)}
    given = {name: text for name, text in parameters.items() if name != "use_ssh"}
    values = _validated("POST", "/cluster/config/join", {**stand_ins, **given})
    if "fingerprint" not in given:
        del values["fingerprint"]

    def work(log: Callable[[str], None]) -> None:
        if over_ssh:
            join.join_over_ssh(values, log)
            return
        host = values["hostname"]
        values["password"] = _read_password(f"Please enter superuser (root) password for '{host}': ")
        join.join_over_api(values, log, lambda found: _confirm(host, found))

    return _run_worker("clusterjoin", "", work)


def _read_password(prompt: str) -> str:
    """One line from standard input; a person at a terminal is asked.

    Raises:
        PveError: standard input ends first.
    """
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    line = sys.stdin.readline()
    if not line:
        raise die("EOF while reading password")
    return line.rstrip("\n")


def _confirm(host: str, fingerprint: str) -> bool:
    sys.stdout.write(
        f"The authenticity of host '{host}' can't be established.\nX509 SHA256 key fingerprint is {fingerprint}.\n"
        "Are you sure you want to continue connecting (yes/no)? "
    )
    sys.stdout.flush()
    return sys.stdin.readline().strip() == "yes"


def _add_node(parameters: Mapping[str, str]) -> int:
    from pvelab.cluster import nodes  # noqa: PLC0415 - as above

    nodes.add(_validated("POST", "/cluster/config/nodes/{node}", parameters), _print)
    return 0


def _delete_node(parameters: Mapping[str, str]) -> int:
    from pvelab.cluster import nodes  # noqa: PLC0415 - as above

    nodes.delete(parameters["node"], _print)
    return 0


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _discard(text: str) -> None:
    """Where the output of a silent command goes."""


def _api_version(parameters: Mapping[str, str]) -> int:  # noqa: ARG001 - a handler's signature
    from pvelab.cluster.nodes import JOIN_API_VERSION  # noqa: PLC0415 - as above

    _print(str(JOIN_API_VERSION))
    return 0


def _status(parameters: Mapping[str, str]) -> int:  # noqa: ARG001 - a handler's signature
    configuration.require()
    conf = configuration.read()
    if conf is not None:
        _print("Cluster information\n-------------------")
        for label, key, default in (
            ("Name", "cluster_name", "UNKNOWN?"),
            ("Config Version", "config_version", "-1"),
            ("Transport", "transport", "knet"),
            ("Secure auth", "secauth", "off"),
        ):
            _print(f"{label + ':':<17} {conf.totem.get(key, default)}")
        _print("")
    return _become(["corosync-quorumtool", "-siH"])


def _nodes(parameters: Mapping[str, str]) -> int:  # noqa: ARG001 - a handler's signature
    configuration.require()
    return _become(["corosync-quorumtool", "-l"])


def _expected(parameters: Mapping[str, str]) -> int:
    if not parameters["expected"].isdigit():
        text = f"type check ('integer') failed - got '{parameters['expected']}'"
        raise PveError(400, "Parameter verification failed.", {"expected": text})
    configuration.require()
    return _become(["corosync-quorumtool", "-e", parameters["expected"]])


def _become(command: list[str]) -> int:
    """Replace this process: the exit code is the tool's."""
    sys.stdout.flush()
    os.execvp(command[0], command)  # noqa: S606 - there is no shell to involve
    return 255


def _update_certificates(parameters: Mapping[str, str]) -> int:
    from pvelab.cluster import node_files  # noqa: PLC0415 - as above

    silent = options.is_set(parameters, "silent")
    log = _discard if silent else _print
    node_files.make_local_files()
    deadline = time.monotonic() + UPDATECERTS_TIMEOUT_SECONDS
    announced = False
    while not cfs.quorate():
        if not announced:
            log("waiting for pmxcfs mount to appear and get quorate...")
            announced = True
        if time.monotonic() > deadline:
            message = (
                "got timeout when trying to ensure cluster certificates and base file hierarchy is set up - no quorum (yet) "
                "or hung pmxcfs?"
            )
            if not silent:
                raise die(message)
            sys.stderr.write(f"{message}\n")
            return 0
        time.sleep(0.1)
    node_files.update(log, new_certificate=options.is_set(parameters, "force"))
    return 0


_HANDLERS: dict[str, Callable[[Mapping[str, str]], int]] = {
    "add": _add,
    "addnode": _add_node,
    "apiver": _api_version,
    "create": _create,
    "delnode": _delete_node,
    "expected": _expected,
    "nodes": _nodes,
    "status": _status,
    "updatecerts": _update_certificates,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
