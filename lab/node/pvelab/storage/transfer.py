"""Bringing files to a storage: downloads with their checksums."""

from __future__ import annotations

import hashlib
import re
import shutil
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from pvelab.errors import die, parameter_error
from pvelab.storage import activation, config, layout

if TYPE_CHECKING:
    from pathlib import Path

    from pvelab.storage.config import Storage
    from pvelab.tasks import Log

TIMEOUT_S = 30.0
_NAMES = {"iso": layout.ISO, "vztmpl": layout.TEMPLATE, "import": layout.IMPORT}


def normalize(name: str) -> str:
    """A file name as Proxmox stores it: no directories, no unusual characters."""
    clean = re.sub(r"^.*[/\\]", "", name.strip())
    return re.sub(r"[^A-Za-z0-9_.-]", "_", clean)


def destination(storage: Storage, content: str, filename: str) -> Path:
    """Where a file of this content goes; refuses a name with another suffix.

    Raises:
        PveError: 400, the name does not fit the content.
    """
    name = normalize(filename)
    if not re.fullmatch(_NAMES[content], name):
        text = "invalid filename or wrong extension" if content == "import" else "wrong file extension"
        raise parameter_error({"filename": text})
    return layout.content_directory(storage, content) / name


def _checksum(file: Path, algorithm: str) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def verify(file: Path, algorithm: str, expected: str, log: Log) -> None:
    """Compare a file's checksum.

    Raises:
        PveError: it differs.
    """
    got = _checksum(file, algorithm)
    if got.lower() != expected.lower():
        log("calculating checksum...")
        raise die(f"checksum mismatch: got '{got}' != expect '{expected}'")
    log("calculating checksum...OK, checksum verified")


def open_url(url: str, *, verify_certificates: bool, method: str = "GET") -> Any:  # noqa: ANN401 - urllib's response
    """Open an http or https address."""
    request = urllib.request.Request(url, method=method)  # noqa: S310 - the API's schema allows http and https only
    context = ssl.create_default_context()
    if not verify_certificates:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context)  # noqa: S310


def metadata(url: str, *, verify_certificates: bool) -> dict[str, Any]:
    """What a server says about a file: size, type, and the name it would have.

    Raises:
        PveError: it does not answer with success.
    """
    try:
        with open_url(url, verify_certificates=verify_certificates, method="HEAD") as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        raise die(f"invalid server response: '{error.code} {error.reason}'") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise die(f"invalid server response: '500 Can't connect to {_server(url)} ({_text(reason)})'") from error
    facts: dict[str, Any] = {}
    if headers.get("Content-Length"):
        facts["size"] = int(headers["Content-Length"])
    if headers.get("Content-Type"):
        facts["mimetype"] = headers["Content-Type"].partition(";")[0].strip()
    name = headers.get_filename() or urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])
    return {**facts, "filename": name} if name else facts


def _server(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _text(reason: object) -> str:
    return getattr(reason, "strerror", None) or str(reason)


def _is_there_already(target: Path, algorithm: str | None, expected: str | None, log: Log) -> bool:
    if not target.exists():
        return False
    if not algorithm or not expected:
        raise die(f"refusing to override existing file '{target}'")
    got = _checksum(target, algorithm)
    if got.lower() != expected.lower():
        log("calculating checksum of existing file...")
        raise die(f"mismatch (got '{got}' != expect '{expected}'), aborting")
    log("calculating checksum of existing file...OK, got correct file already, no need to download")
    return True


def download(params: dict[str, Any], log: Log) -> None:
    """Fetch a URL to a storage, as the parameters of download-url say.

    Raises:
        PveError: the file exists, the server refuses, or the checksum differs; nothing is left behind then.
    """
    storage = activation.activate(params["storage"])
    target = destination(storage, params["content"], params["filename"])
    algorithm, expected = params.get("checksum-algorithm"), params.get("checksum")
    log(f"downloading {params['url']} to {target}")
    if _is_there_already(target, algorithm, expected, log):
        return
    partial = target.with_name(f"{target.name}.tmp.dwnl")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        _fetch(params, partial)
        if algorithm and expected:
            verify(partial, algorithm, expected, log)
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
    log(f"download of '{params['url']}' to '{target}' finished")


def _fetch(params: dict[str, Any], target: Path) -> None:
    try:
        certificates = bool(params.get("verify-certificates", 1))
        with open_url(params["url"], verify_certificates=certificates) as answer, target.open("wb") as stream:
            shutil.copyfileobj(answer, stream)
    except urllib.error.HTTPError as error:
        raise die(f"download failed: {error.code} {error.reason}") from error
    except OSError as error:
        raise die(f"download failed: {_text(getattr(error, 'reason', error))}") from error


def require_content(storage_id: str, content: str) -> Storage:
    """The storage, if it is a directory that may hold this content.

    Raises:
        PveError: it is not.
    """
    storage = config.usable(storage_id)
    if not storage.is_file_based:
        raise die(f"can't upload to storage type '{storage.type}', not a file based storage!")
    if content not in storage.content:
        raise die(f"storage '{storage_id}' is not configured for content-type '{content}'")
    return storage
