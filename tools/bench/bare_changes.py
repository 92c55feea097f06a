"""The same changes of a live cluster by Proxmox VE's, Corosync's and Debian's own commands, as shell scripts.

Each script opens one SSH connection to each machine, which counts, and sends all commands through it. It waits for what the steps wait
for, in the eyes of every member: a loop on the member itself looks every 0.1 s. It goes on at once when that is seen. What the steps do beyond
that is left out: no dead man's switch for the network, no copy of what is removed or replaced, no way back.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIMIT_S = 600
SHOWN = 2000

# Runs on a machine, before each script there; `self` is its management address.
REMOTE = r"""
await() {
    tries=0
    until "$@"; do
        tries=$((tries + 1)); [ "$tries" -lt 600 ] || { echo "not seen: $*" >&2; exit 1; }
        sleep 0.1
    done
}
votes() { corosync-quorumtool -siH 2>/dev/null || true; }  # its exit code tells whether there is a quorum
# Expected and total votes, connections to peers on all links, version of the configuration; each is looked at anew.
agrees() {
    quorum=$(votes)
    grep -Eq '^Quorate: +Yes' <<<"$quorum" && grep -Eq "^Expected votes: +$1$" <<<"$quorum" &&
        grep -Eq "^Total votes: +$2$" <<<"$quorum" &&
        [ "$(corosync-cfgtool -s | grep -Ec '^\s+nodeid: *[0-9]+:\s*connected$')" = "$3" ] &&
        [ "$(corosync-cmapctl -g totem.config_version | sed 's/.*= //')" = "$4" ] &&
        grep -Eq "config_version: $4$" /etc/corosync/corosync.conf
}
uses() { corosync-cfgtool -s | grep -E "^\s+addr\s*=\s*$1$" > /dev/null; }
# The interfaces get one address, and lose another one, if any is named; ifupdown2 may need two tries for that.
reload() {
    for attempt in 1 2; do
        ifreload -a || true
        live=$(ip -4 -o addr)
        if [[ $live == *" $1/24 "* && ! ${2:+$live} == *" ${2:-}/24 "* ]]; then return; fi
    done
    echo "$live" >&2; exit 1
}
version() { sed -n 's/^ *config_version: //p' /etc/pve/corosync.conf; }
replace() {
    sed "s/config_version: .*/config_version: $1/" > /etc/pve/corosync.conf.bare
    mv /etc/pve/corosync.conf.bare /etc/pve/corosync.conf
}
"""

# Runs on the control machine. What it prints: milliseconds.
CONTROL = r"""
set -euo pipefail
work=$(mktemp -d)
closed() {
    for socket in "$work"/*:22; do ssh -o "ControlPath=$socket" -O exit machine 2>/dev/null || true; done
    rm -rf "$work"
}
trap closed EXIT
on() {
    { printf 'self=%s\n%s\n' "$1" "$REMOTE"; cat; } | ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5 \
        -o ControlMaster=auto -o ControlPersist=60 -o "ControlPath=$work/%h:%p" "root@$1" 'bash -euo pipefail -c "$(cat)"'
}
# The same on all of them at once; what each says is in a file of its name.
each() {
    script=$(cat) jobs=()
    for machine; do on "$machine" <<<"$script" > "$work/$machine" & jobs+=($!); done
    for job in "${jobs[@]}"; do wait "$job"; done
}
began=$(date +%s%N)
"""
TOOK = "\necho $((($(date +%s%N) - began) / 1000000))\n"

# LINK and MOVES: "MACHINE FORMER NEW" of each member.
ADDRESSES = r"""
members=() edits='' news=''
while read -r machine former new; do
    members+=("$machine") edits+="s/ring${LINK}_addr: $former\$/ring${LINK}_addr: $new/;" news+=" $new"
done <<<"$MOVES"
count=${#members[@]} peers=$((${#members[@]} - 1)) first=${members[0]}
own="read -r former new <<<\"\$(sed -n \"s/^\$self //p\" <<<'$MOVES')\""
each "${members[@]}" <<END
$own
sed -i "s|^\([[:space:]]*address \)\$former/24\$|&\n\1\$new/24|" /etc/network/interfaces
reload "\$new"
END
each "${members[@]}" <<END
$own
pings=()
for peer in $news; do
    [ "\$peer" = "\$new" ] || { ping -n -q -c 5 -i 0.2 -W 1 -M do -s 1472 -I "\$new" "\$peer" > /dev/null & pings+=(\$!); }
done
for ping in "\${pings[@]}"; do wait "\$ping"; done
END
each "${members[@]}" <<<"await agrees $count $count $((peers * 2)) \"\$(version)\"; version"
version=$(<"$work/$first")
on "$first" <<END
awk '/^ *interface [{]/ { block = \$0; inside = 1; next }
     inside { block = block "\n" \$0; if (/[}]/) { inside = 0; if (block !~ /linknumber: $LINK\n/) print block }; next }
     !/ring${LINK}_addr/' /etc/pve/corosync.conf > /run/between
sed '$edits' /etc/pve/corosync.conf > /run/after
replace $((version + 1)) < /run/between
END
each "${members[@]}" <<<"await agrees $count $count $peers $((version + 1))"
on "$first" <<<"replace $((version + 2)) < /run/after"
each "${members[@]}" <<END
$own
await agrees $count $count $((peers * 2)) $((version + 2))
await uses "\$new"
sed -i "\|^[[:space:]]*address \$former/24\$|d" /etc/network/interfaces
reload "\$new" "\$former"
END
"""

# MEMBERS, WITNESS and CLUSTER. What is cleared is as before the first time, but for packages and the server's own keys.
NO_DEVICE = r"""
read -ra members <<<"$MEMBERS"
count=${#members[@]} links=$(((${#members[@]} - 1) * 2)) first=${members[0]}
version=$(on "$first" <<'END'
cp /etc/pve/corosync.conf /root/with-device.conf
version=$(version)
awk '/^ *device [{]/ { depth = 1; next } depth { depth += gsub(/[{]/, "") - gsub(/[}]/, ""); next } 1' /root/with-device.conf |
    replace $((version + 1))
echo $((version + 1))
END
)
each "${members[@]}" <<END
await agrees $count $count $links $version
systemctl disable --now corosync-qdevice
systemctl reset-failed corosync-qdevice || true
rm -rf /etc/corosync/qdevice
END
on "$WITNESS" <<<"rm -f /etc/corosync/qnetd/nssdb/cluster-$CLUSTER.*"
"""
DEVICE = r"""
read -ra members <<<"$MEMBERS"
count=${#members[@]} links=$(((${#members[@]} - 1) * 2)) first=${members[0]}
on "$first" <<<"await agrees $count $count $links \"\$(version)\""
authority=$(on "$WITNESS" <<<'base64 -w0 /etc/corosync/qnetd/nssdb/qnetd-cacert.crt')
each "${members[@]}" <<END
base64 -d <<<$authority > /run/authority.crt
corosync-qdevice-net-certutil -i -c /run/authority.crt > /dev/null
corosync-qdevice-net-certutil -r -n '$CLUSTER' > /dev/null
base64 -w0 /etc/corosync/qdevice/net/nssdb/qdevice-net-node.crq
END
sign='cd /run; sign() {
    base64 -d <<<"$2" > request.crq
    corosync-qnetd-certutil -s -c request.crq -n "$CLUSTER.$1" > /dev/null
    echo "$1 $(base64 -w0 "/etc/corosync/qnetd/nssdb/cluster-$CLUSTER.$1.crt")"
}'
for machine in "${members[@]}"; do sign+=$'\n'"sign $machine $(<"$work/$machine")"; done
signed=$(on "$WITNESS" <<<"CLUSTER=$CLUSTER; $sign")
each "${members[@]}" <<END
sed -n "s/^\$self //p" <<<'$signed' | base64 -d > /run/member.crt
corosync-qdevice-net-certutil -M -c /run/member.crt > /dev/null
END
version=$(on "$first" <<<'version=$(version); replace $((version + 1)) < /root/with-device.conf; echo $((version + 1))')
each "${members[@]}" <<END
expects() { votes | grep -E '^Expected votes: +$((count + 1))\$' > /dev/null; }
casts() {
    corosync-qdevice-tool -s | grep -E '^State:\s+Connected\$' && votes | grep -E '^0x0+ +1 +Qdevice\$'
}
await expects
systemctl enable --now corosync-qdevice
await agrees $((count + 1)) $((count + 1)) $links $version
await casts > /dev/null
END
"""

# MEMBERS that stay; the leaver's NAME, ID, MACHINE, ADDRESSES; its VM and the HOST of that.
REMOVAL = r"""
read -ra members <<<"$MEMBERS"
count=${#members[@]} links=$(((${#members[@]} - 1) * 2)) first=${members[0]}
each "${members[@]}" <<<"await agrees $((count + 1)) $((count + 1)) $((count * 2)) \"\$(version)\""
on "$first" <<END
test -z "\$(ls /etc/pve/nodes/$NAME/qemu-server /etc/pve/nodes/$NAME/lxc 2>/dev/null | grep conf)"
ha-manager crm-command node-maintenance enable $NAME > /dev/null
await grep -Eq '"$NAME": ?"maintenance"' /etc/pve/ha/manager_status
END
on "$MACHINE" <<<'systemctl poweroff' || true
on "$HOST" <<END
stopped() { qm status $VM | grep stopped > /dev/null; }
await stopped
END
each "${members[@]}" <<END
gone() {
    ! votes | grep -E '^ *0x0*$ID ' > /dev/null || return 1
    looks=()
    for address in $ADDRESSES; do
        { ! ping -n -q -c 2 -i 0.3 -W 1 "\$address" > /dev/null; } & looks+=(\$!)
        { ! { timeout 3 bash -c "exec 3<>/dev/tcp/\$address/22 && echo there" 2>&1 || true; } | grep -E 'there|refused' > /dev/null; } &
        looks+=(\$!)
    done
    for look in "\${looks[@]}"; do wait "\$look" || return 1; done
}
await gone
END
version=$(on "$first" <<END
ha-manager crm-command node-maintenance disable $NAME > /dev/null
withdrawn() { ! grep -Eq '"maintenance" ?: ?1' /etc/pve/ha/manager_status; }
await withdrawn
pvecm delnode $NAME > /dev/null 2>&1 || true
expects() { votes | grep -E '^Expected votes: +$count\$' > /dev/null; }
await expects
rm -rf /etc/pve/nodes/$NAME
for file in authorized_keys known_hosts; do
    grep -Ev ' root@$NAME\$|^$NAME[ ,]|^$MACHINE[ ,]' /etc/pve/priv/\$file > /etc/pve/priv/\$file.bare
    mv /etc/pve/priv/\$file.bare /etc/pve/priv/\$file
done
version
END
)
each "${members[@]}" <<END
writable() { : > /etc/pve/priv/bare.\$HOSTNAME && rm /etc/pve/priv/bare.\$HOSTNAME; }
listed() { ! grep -Eq 'name: $NAME\$' /etc/pve/corosync.conf; }
await agrees $count $count $links $version
await listed
await writable
END
for machine in "${members[@]}"; do
    until openssl s_client -connect "$machine:8006" < /dev/null > /dev/null 2>&1; do sleep 0.1; done
done
"""


@dataclass(frozen=True)
class Leaver:
    """A node that is to leave: its name, id, addresses (for management first), and its VM with the address of its host."""

    name: str
    node_id: int
    addresses: Sequence[str]
    vmid: int
    host: str


def move_link(link: int, moves: Sequence[tuple[str, str, str]]) -> float:
    """Seconds for other addresses on a link: for each member its management address, the former and the new one on the link.

    Raises:
        BenchError: it did not work.
    """
    rows = "\n".join(" ".join(move) for move in moves)
    return _seconds(ADDRESSES, {"LINK": str(link), "MOVES": rows})


def remove_device(members: Sequence[str], witness: str, cluster: str) -> float:
    """Seconds for the removal of the QDevice.

    Raises:
        BenchError: it did not work.
    """
    return _seconds(NO_DEVICE, {"MEMBERS": " ".join(members), "WITNESS": witness, "CLUSTER": cluster})


def add_device(members: Sequence[str], witness: str, cluster: str) -> float:
    """Seconds for the same QDevice again.

    Raises:
        BenchError: it did not work.
    """
    return _seconds(DEVICE, {"MEMBERS": " ".join(members), "WITNESS": witness, "CLUSTER": cluster})


def remove_node(staying: Sequence[str], leaver: Leaver) -> float:
    """Seconds until a node without guests is off the list.

    Raises:
        BenchError: it did not work.
    """
    values = {
        "MEMBERS": " ".join(staying),
        "NAME": leaver.name,
        "ID": str(leaver.node_id),
        "MACHINE": leaver.addresses[0],
        "ADDRESSES": " ".join(leaver.addresses),
        "VM": str(leaver.vmid),
        "HOST": leaver.host,
    }
    return _seconds(REMOVAL, values)


def run(machines: Sequence[str], script: str) -> None:
    """The same script on all of these machines, which nobody measures.

    Raises:
        BenchError: it did not work.
    """
    _seconds('\neach $MEMBERS <<<"$SCRIPT"\n', {"MEMBERS": " ".join(machines), "SCRIPT": script})


def _seconds(script: str, values: Mapping[str, str]) -> float:
    done = subprocess.run(
        ["bash", "-c", f"{CONTROL}{script}{TOOK}"],
        env={**os.environ, "REMOTE": REMOTE, **values},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise BenchError(
            f"bare commands failed with {done.returncode}:\n{done.stdout[-SHOWN:]}\n{done.stderr[-SHOWN:]}"
        )
    return int(done.stdout.split()[-1]) / 1000
