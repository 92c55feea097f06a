"""Storages and downloads in the lab's API, against pve-storage's rules."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.support.api_node import ApiNode, furnish, running
from tests.support.web import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = b"an installer image " * 1000
LOCAL = "/nodes/pve1/storage/local"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiNode]:
    root = tmp_path_factory.mktemp("node")
    furnish(root, "pve1")
    with running(root) as found:
        yield found


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    served = tmp_path_factory.mktemp("web")
    (served / "installer.iso").write_bytes(CONTENT)
    with serving(served) as web:
        yield f"{web}/installer.iso"


def isos(node: ApiNode) -> list[str]:
    return [item["volid"] for item in node.get(f"{LOCAL}/content", content="iso")]


def download(node: ApiNode, url: str, name: str, checksum: str) -> tuple[str, list[str]]:
    answer = node.request(
        "POST",
        f"{LOCAL}/download-url",
        content="iso",
        url=url,
        filename=name,
        checksum=checksum,
        checksum__algorithm="sha256",
    )
    assert answer.status == 200, answer
    return node.task(answer.data)


def test_a_url_is_looked_at_before_it_is_fetched(node: ApiNode, url: str) -> None:
    facts = node.get("/nodes/pve1/query-url-metadata", url=url)
    assert (facts["size"], facts["filename"]) == (len(CONTENT), "installer.iso")
    assert node.fail("GET", "/nodes/pve1/query-url-metadata", url=f"{url}.gone").startswith(
        "invalid server response: '404 "
    )


def test_a_download_is_verified(node: ApiNode, url: str) -> None:
    end, log = download(node, url, "good.iso", hashlib.sha256(CONTENT).hexdigest())
    assert end == "OK"
    assert "calculating checksum...OK, checksum verified" in log
    assert "local:iso/good.iso" in isos(node)
    assert (node.root / "var/lib/vz/template/iso/good.iso").read_bytes() == CONTENT
    node.do("DELETE", f"{LOCAL}/content/local:iso/good.iso")
    assert "local:iso/good.iso" not in isos(node)


def test_a_download_with_another_checksum_leaves_nothing(node: ApiNode, url: str) -> None:
    end, _ = download(node, url, "bad.iso", "0" * 64)
    assert end == f"checksum mismatch: got '{hashlib.sha256(CONTENT).hexdigest()}' != expect '{'0' * 64}'"
    assert "local:iso/bad.iso" not in isos(node)
    assert list((node.root / "var/lib/vz/template/iso").glob("bad*")) == []


def test_an_ended_task_may_be_stopped_once_more_and_an_unknown_one_not(node: ApiNode, url: str) -> None:
    end, _ = download(node, url, "wrong.iso", "0" * 64)
    assert end != "OK"
    upid = next(task["upid"] for task in node.get("/nodes/pve1/tasks") if task["id"] == "wrong.iso")
    # The provider does this after a download that failed.
    node.do("DELETE", f"/nodes/pve1/tasks/{upid}")
    unknown = upid.replace(":download:", ":upload:")
    assert node.fail("DELETE", f"/nodes/pve1/tasks/{unknown}") == "no such task"


def test_an_existing_file_is_never_overwritten_by_a_download(node: ApiNode, url: str) -> None:
    present = node.root / "var/lib/vz/template/iso/present.iso"
    present.parent.mkdir(parents=True, exist_ok=True)
    present.write_bytes(b"the user's own")
    end, _ = download(node, url, "present.iso", hashlib.sha256(CONTENT).hexdigest())
    assert end.startswith("mismatch (got '")
    refused = node.fail("POST", f"{LOCAL}/download-url", content="iso", url=url, filename="present.iso")
    assert refused.startswith("refusing to override existing file '")
    assert present.read_bytes() == b"the user's own"


def test_a_name_must_fit_its_content(node: ApiNode, url: str) -> None:
    refused = node.request("POST", f"{LOCAL}/download-url", content="iso", url=url, filename="installer.txt")
    assert refused.errors == {"filename": "wrong file extension"}
    lvm = node.fail("POST", "/nodes/pve1/storage/local-lvm/download-url", content="iso", url=url, filename="a.iso")
    assert lvm == "can't upload to storage type 'lvmthin', not a file based storage!"


def test_an_upload_is_refused(node: ApiNode) -> None:
    session = node.login()
    session.headers["Content-Type"] = "multipart/form-data; boundary=x"
    refused = node.request("POST", f"{LOCAL}/upload", session, content="iso")
    assert (refused.status, refused.message) == (501, "uploads are not implemented")


def test_a_storage_is_made_changed_and_removed(node: ApiNode) -> None:
    node.do("POST", "/storage", type="dir", storage="extra", path="/srv/extra", content="images,iso", nodes="pve1")
    made = node.get("/storage/extra")
    assert (made["path"], made["content"], made["nodes"]) == ("/srv/extra", "images,iso", "pve1")
    assert node.fail("POST", "/storage", type="dir", storage="extra", path="/srv/other") == (
        "create storage failed: storage ID 'extra' already defined"
    )
    assert node.request("PUT", "/storage/extra", path="/srv/moved").errors.keys() == {"path"}
    node.do("PUT", "/storage/extra", content="images", disable=1)
    assert node.fail("GET", "/nodes/pve1/storage/extra/content") == "storage 'extra' is disabled"
    node.do("PUT", "/storage/extra", delete="disable,nodes")
    assert node.get("/nodes/pve1/storage/extra/status")["active"] == 1
    node.do("DELETE", "/storage/extra")
    assert node.fail("GET", "/storage/extra") == "storage 'extra' does not exist"
    assert (node.root / "srv/extra").is_dir()


def test_a_storage_that_does_not_answer_is_not_configured(node: ApiNode) -> None:
    refused = node.fail(
        "POST", "/storage", type="nfs", storage="far", server="127.0.0.1", export="/srv/pve", content="images"
    )
    assert refused == "storage 'far' is not online"
    assert "far" not in [item["storage"] for item in node.get("/storage")]


def test_a_storage_that_stopped_answering_is_inactive(node: ApiNode) -> None:
    configuration = node.pve / "storage.cfg"
    before = configuration.read_text()
    configuration.write_text(
        f"{before}\nnfs: far\n\tpath /mnt/pve/far\n\tserver 127.0.0.1\n\texport /srv\n\tcontent images\n"
    )
    try:
        states = {item["storage"]: item["active"] for item in node.get("/nodes/pve1/storage")}
        assert (states["far"], states["shared"]) == (0, 1)
        assert node.fail("GET", "/nodes/pve1/storage/far/content") == "storage 'far' is not online"
    finally:
        configuration.write_text(before)


def test_disks_are_numbered_by_guest(node: ApiNode) -> None:
    node.do("POST", "/nodes/pve1/qemu", vmid=7000, scsi0="local-lvm:1", scsi1="local-lvm:2")
    found = node.get("/nodes/pve1/storage/local-lvm/content", vmid=7000)
    assert {item["volid"]: item["size"] for item in found} == {
        "local-lvm:vm-7000-disk-0": 1 << 30,
        "local-lvm:vm-7000-disk-1": 2 << 30,
    }
