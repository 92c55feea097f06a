"""What Proxmox' own commands take to make a cluster of three equal, fresh nodes: one `pvecm create`, two `pvecm add`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.bench.workspace import Workspace

# Each command's milliseconds, a line each; the password is the first line of standard input.
SCRIPT = r"""
set -euo pipefail
read -r password
on() { ssh -o BatchMode=yes -o ConnectTimeout=10 "pve$1.lab.internal" bash -euo pipefail -s; }
for n in 1 2 3; do
    on "$n" <<END
until test -e /etc/pve/vzdump.cron; do sleep 0.2; done
printf 'auto eth1\niface eth1 inet static\n    address 10.10.1.10$n/24\n' > /etc/network/interfaces.d/links
printf 'auto eth2\niface eth2 inet static\n    address 10.20.1.10$n/24\n' >> /etc/network/interfaces.d/links
ifreload -a
END
done
timed='began=$(date +%s%N); "$@" >/tmp/said 2>&1 </tmp/given; echo $((($(date +%s%N) - began) / 1000000))'
on 1 <<END
true > /tmp/given
set -- pvecm create bare --link0 10.10.1.101 --link1 10.20.1.101
$timed
until touch /etc/pve/probe 2>/dev/null; do sleep 0.1; done
END
fingerprint=$(on 1 <<< "openssl x509 -in /etc/pve/local/pve-ssl.pem -noout -fingerprint -sha256 | cut -d= -f2")
for n in 2 3; do
    on "$n" <<END
cd /root
(umask 077; echo '$password' > /tmp/given)
set -- pvecm add 10.10.1.101 --fingerprint $fingerprint --link0 10.10.1.10$n --link1 10.20.1.10$n
$timed
rm /tmp/given
until touch /etc/pve/probe-$n 2>/dev/null; do sleep 0.1; done
END
done
on 1 <<< "test \$(corosync-quorumtool -s | awk '/^Total votes/ {print \$3}') = 3"
"""


def seconds(workspace: Workspace) -> float:
    """The three commands together, without what lies between them; the workspace's lab has existing nodes, fresh ones.

    Raises:
        BenchError: no cluster of three came of it.
    """
    credentials = json.loads((workspace.directory / "lab" / "credentials.json").read_text())
    said = workspace.lab("run", "--", "bash", "-c", SCRIPT, shown=False, given=f"{credentials['rootPassword']}\n")
    return sum(map(int, said.split())) / 1000
