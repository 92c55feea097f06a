"""Passwords and keys: read once, kept wrapped, handed to the engine as secrets only."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from config import texts, topology, values
from config.errors import ConfigError, Problem
from config.load import CREDENTIALS_KEY, structural_problems
from config.model import ExistingNode, NestedNode, SshPublicKey
from config.stack_file import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from config.model import Config

FILE_VARIABLE = "NESTED_PVE_CREDENTIALS"
PASSWORD_LENGTH_MIN = 8  # the installer's and pveum's own limit
SEED_HEX_DIGITS_MIN = 32
STACK_KEY = f"{NAMESPACE}:{CREDENTIALS_KEY}"


K = TypeVar("K", bound="SshKey")


class NoCredentialsError(ConfigError):
    """No credentials are configured."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True)


class HostCredentials(_Model):
    """What opens an outer host."""

    password: SecretStr | None = None  # of its API, which only Proxmox VE has
    host_key: SshPublicKey | None = None


class NodeCredentials(_Model):
    """What is known beforehand of an existing node."""

    host_key: SshPublicKey | None = None


class SshKey(_Model):
    """The key that opens root on all machines; what else stands beside it does not matter."""

    model_config = ConfigDict(extra="ignore")

    ssh_private_key: SecretStr

    @field_validator("ssh_private_key")
    @classmethod
    def _readable(cls, value: SecretStr) -> SecretStr:
        _public_line(value)
        return value


class Credentials(SshKey):
    """All secrets of one stack."""

    model_config = ConfigDict(extra="forbid")

    ssh_public_key: str | None = None
    root_password: SecretStr
    api_password: SecretStr
    host_key_seed: SecretStr | None = None
    outer_hosts: dict[str, HostCredentials] = Field(default_factory=dict)
    nodes: dict[str, NodeCredentials] = Field(default_factory=dict)

    @property
    def public_key(self) -> str:
        """The public line of the SSH key, without comment."""
        return _public_line(self.ssh_private_key)

    @property
    def texts(self) -> set[str]:
        """Every secret, in clear: what must not appear in anything that is written."""
        single = (self.ssh_private_key, self.root_password, self.api_password, self.host_key_seed)
        hosts = (host.password for host in self.outer_hosts.values() if host.password)
        return {secret.get_secret_value() for secret in (*single, *hosts) if secret is not None}

    def password_of(self, host: str) -> str:
        """The password of an outer host's API; empty if there is none."""
        found = self.outer_hosts.get(host)
        return found.password.get_secret_value() if found and found.password else ""

    def host_key_of(self, name: str) -> str | None:
        """The SSH host key that a machine must present, if it is among the credentials."""
        machine = self.outer_hosts.get(name) or self.nodes.get(name)
        return machine.host_key if machine else None


def _public_line(private: SecretStr) -> str:
    text = private.get_secret_value().encode()
    read = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in text else load_pem_private_key
    try:
        key = read(text, None)
        return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    except (ValueError, TypeError):
        raise ValueError("is not an unencrypted SSH private key in OpenSSH or PEM format") from None


def load(
    config: Config,
    settings: Mapping[str, str],
    secret_keys: Collection[str],
    environment: Mapping[str, str],
    *,
    stack: str,
) -> Credentials:
    """Read the credentials from the stack's secrets, or from the file that the environment names.

    Args:
        config: what they must suffice for.
        settings: the engine's configuration, texts by key.
        secret_keys: the keys among them that are stored encrypted.
        environment: the process's environment.
        stack: whose they are, for the next command.

    Raises:
        ConfigError: they are missing (NoCredentialsError), readable by others, malformed, or not enough; never quotes a value.
    """
    refuse_plain(settings, secret_keys)
    document = settings[STACK_KEY] if STACK_KEY in settings else _read_file(environment, stack)
    credentials = _parse(document, Credentials)
    if problems := list(_missing(config, credentials)):
        raise ConfigError(problems)
    return credentials


def ssh_key(environment: Mapping[str, str]) -> SshKey:
    """The SSH key of the file that the environment names, where there is no stack file yet.

    Raises:
        ConfigError: it is missing (NoCredentialsError), readable by others, or malformed; never quotes a value.
    """
    if not environment.get(FILE_VARIABLE):
        fix = f'set {FILE_VARIABLE} to a JSON file of mode 600 with {{"sshPrivateKey": "…"}}: see docs/config.md#credentials'
        raise NoCredentialsError([Problem(CREDENTIALS_KEY, f"{FILE_VARIABLE} is not set", fix)])
    return _parse(_read_file(environment, ""), SshKey)


def refuse_plain(settings: Mapping[str, str], secret_keys: Collection[str]) -> None:
    """Refuse credentials that everybody who has the stack file can read.

    Raises:
        ConfigError: they are stored without encryption.
    """
    if STACK_KEY in settings and STACK_KEY not in secret_keys:
        fix = f"remove it, change those secrets, and set them with pulumi config set --secret --path '{STACK_KEY}.…'"
        raise ConfigError([Problem(CREDENTIALS_KEY, "is stored in the stack file without encryption", fix)])


def _read_file(environment: Mapping[str, str], stack: str) -> str:
    name = environment.get(FILE_VARIABLE)
    if not name:
        fix = (
            f"`make shell STACK={stack}` has them, or shows the commands that set them; "
            f"or set {FILE_VARIABLE} to a JSON file: see docs/config.md#credentials"
        )
        message = f"none in the stack file, and {FILE_VARIABLE} is not set"
        raise NoCredentialsError([Problem(CREDENTIALS_KEY, message, fix)])
    path = Path(name)
    try:
        mode = path.stat().st_mode
        text = path.read_text()
    except OSError as error:
        problem = Problem(CREDENTIALS_KEY, f"{path}: {error.strerror}", f"correct {FILE_VARIABLE}, which names it")
        raise ConfigError([problem]) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        problem = Problem(CREDENTIALS_KEY, f"{path} is open to others (mode {mode & 0o777:o})", f"chmod 600 {path}")
        raise ConfigError([problem])
    return text


def _parse(document: str, kind: type[K]) -> K:
    try:
        return kind.model_validate(_parts(document))
    except ValidationError as error:
        errors: list[Any] = error.errors(include_input=False)
        for item in errors:
            item["loc"] = (CREDENTIALS_KEY, *item["loc"])
        raise ConfigError(structural_problems(errors)) from None
    except ValueError as error:
        raise ConfigError([Problem(CREDENTIALS_KEY, str(error), "write it as a JSON object")]) from None


def _parts(document: str) -> dict[str, Any]:
    found = texts.value(document)
    if not isinstance(found, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004 - the caller reports both in the same way
    return found


def _missing(config: Config, credentials: Credentials) -> Iterator[Problem]:
    for key, value in (("rootPassword", credentials.root_password), ("apiPassword", credentials.api_password)):
        if len(value.get_secret_value()) < PASSWORD_LENGTH_MIN:
            message = f"is shorter than {PASSWORD_LENGTH_MIN} characters, which Proxmox refuses"
            yield Problem(f"{CREDENTIALS_KEY}.{key}", message, "choose a longer one")
    if any(isinstance(node, NestedNode) for node in config.nodes):
        seed = credentials.host_key_seed.get_secret_value() if credentials.host_key_seed else ""
        if len(seed) < SEED_HEX_DIGITS_MIN:
            message = "the host keys of nested nodes are derived from it, and it is missing or too short"
            yield Problem(f"{CREDENTIALS_KEY}.hostKeySeed", message, "set it to the output of openssl rand -hex 32")
    for _, host in topology.proxmox_ve_hosts(config):
        if not credentials.password_of(host.name):
            message = f"no password for the API of {host.name}"
            yield Problem(f"{CREDENTIALS_KEY}.outerHosts.{host.name}.password", message, "add it")
    yield from _broken_keys(credentials)
    yield from values.shared_keys(_host_keys(config, credentials))
    yield from _unknown_machines(config, credentials)


def _unknown_machines(config: Config, credentials: Credentials) -> Iterator[Problem]:
    for i, host in enumerate(config.outer_hosts):
        if host.host_key is None and credentials.host_key_of(host.name) is None:
            yield _no_host_key(f"outerHosts[{i}].hostKey", host.name, str(host.address))
    for i, node in enumerate(config.nodes):
        if isinstance(node, ExistingNode) and node.host_key is None and credentials.host_key_of(node.name) is None:
            yield _no_host_key(f"nodes[{i}].hostKey", node.name, str(node.address))
    witness = topology.witness_machine(config)
    if witness is not None and witness.host_key is None and credentials.host_key_of(witness.name) is None:
        yield _no_host_key("cluster.qdevice.machine.hostKey", witness.name, str(witness.address))


def _host_keys(config: Config, credentials: Credentials) -> Iterator[tuple[str, str, str | None]]:
    """Where the key of each machine is configured, the name of the machine, and the key."""
    machines = [("outerHosts", i, host.name, host.host_key) for i, host in enumerate(config.outer_hosts)]
    machines += [
        ("nodes", i, node.name, node.host_key) for i, node in enumerate(config.nodes) if isinstance(node, ExistingNode)
    ]
    for kind, i, name, key in machines:
        path = f"{kind}[{i}]" if key else f"{CREDENTIALS_KEY}.{kind}.{name}"
        yield f"{path}.hostKey", name, key or credentials.host_key_of(name)
    if witness := topology.witness_machine(config):
        path = "cluster.qdevice.machine" if witness.host_key else f"{CREDENTIALS_KEY}.nodes.{witness.name}"
        yield f"{path}.hostKey", witness.name, witness.host_key or credentials.host_key_of(witness.name)


def _broken_keys(credentials: Credentials) -> Iterator[Problem]:
    keys = {f"outerHosts.{name}": machine.host_key for name, machine in credentials.outer_hosts.items()}
    keys |= {f"nodes.{name}": machine.host_key for name, machine in credentials.nodes.items()}
    for part, key in keys.items():
        if key and not values.is_public_key(key):
            yield values.broken_key(f"{CREDENTIALS_KEY}.{part}.hostKey")


def _no_host_key(path: str, name: str, address: str) -> Problem:
    fix = (
        f"on the console of {name} ({address}): cat /etc/ssh/ssh_host_ed25519_key.pub; "
        "put type and key there, without the comment: ssh-ed25519 AAAA…"
    )
    return Problem(path, f"the SSH host key of {name} is not known", fix)
