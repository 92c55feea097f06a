"""Every refusal of the lab, of the toolchain and of the commands of this folder, as docs/recovery.md shows them.

Names that the program has, too, such as `disk-full`, mean the same here, and stand in `onnode/errors.py` only.
"""

from __future__ import annotations

from onnode.errors import Code

TOOL_CODES: dict[str, Code] = {
    # -- before anything is installed
    "python-too-old": Code(
        "Python is older than 3.11.",
        "install Python 3.11 or newer, and set PYTHON=/path/to/python3 if it is not the first",
    ),
    "packages-missing": Code(
        "Programs are missing, and there is no apt-get to install them, or it failed.",
        "install them with your system's package manager, then run the same command again",
    ),
    "python-environment-failed": Code(
        "The Python environment could not be made, or pip could not install the packages into it.",
        "give this machine a way to the package index (HTTPS_PROXY, or PIP_INDEX_URL for a mirror) and room on its disk, then run the "
        "same command again",
    ),
    # -- toolchain
    "go-missing": Code("There is no Go compiler.", "install Go 1.26 or newer (https://go.dev/dl) and put it on PATH"),
    "go-too-old": Code(
        "The Go compiler is older than the pinned modules demand.",
        "install Go 1.26 or newer, or let Go fetch it: `export GOTOOLCHAIN=auto`",
    ),
    "module-checksum-mismatch": Code(
        "A Go module is not the one that was pinned.",
        "check the registry that GOPROXY names; never edit go.sum to make this pass",
    ),
    "registry-unreachable": Code(
        "A Go module could not be fetched.",
        "set GOPROXY to a proxy that this machine reaches (`go env -w GOPROXY=…`), and HTTPS_PROXY if there is one; then run "
        "the same command again",
    ),
    "build-failed": Code(
        "The engine or a plugin could not be built.",
        "`git status` in toolchain/: changes of go.mod, go.sum or sources are the usual cause",
    ),
    "build-stuck": Code(
        "A Go command did not end within its time.",
        "look at the load of this machine and at its registry (`go env GOPROXY`), then run the same command again: what is "
        "built and fetched is kept",
    ),
    "toolchain-broken": Code(
        "The installed engine does not answer, or is not the pinned release.",
        "run the command in the message, which builds it anew; your own Pulumi: repair it, or take it off PATH",
    ),
    "toolchain-busy": Code(
        "Another process builds or installs the toolchain.",
        "wait until that process has ended, then run the same command again",
    ),
    "toolchain-files": Code(
        "A file of the toolchain cannot be used.",
        "correct its permissions, or set NESTED_PVE_CACHE and PULUMI_HOME to directories of your own",
    ),
    "toolchain-not-installed": Code("The engine and its plugins are not installed.", "`make toolchain`"),
    # -- lab
    "lab-not-running": Code("There is no running lab.", "`make up`, with STACK= if you gave it"),
    "lab-needs-root": Code(
        "A command of the lab was not started by root.", "run it by its `make` command, which asks sudo"
    ),
    "lab-needs-linux": Code(
        "The lab is made of Linux namespaces, and this is another system.",
        "use a Debian 12 machine, or a stack of your own machines",
    ),
    "lab-host-packages": Code(
        "Programs that the lab needs are missing, and could not be installed.",
        "run the apt-get command in the message, then run the same command again",
    ),
    "debian-mirror-unknown": Code(
        "apt on this machine does not know where Debian and its security updates are.",
        "`sudo apt-get update` on Debian, then run the same command again",
    ),
    "image-build-failed": Code(
        "The image that the lab's machines start from could not be built.",
        "make `apt-get update` work on this machine, then run the same command again",
    ),
    "lab-start-failed": Code(
        "The lab did not come up.", "run the same command again; when it happens twice, report the message"
    ),
    "lab-broken": Code("The lab runs, and does not answer.", "`make in-lab DO=down`, then `make up`"),
    "lab-busy": Code(
        "Another command starts or removes the lab.", "wait until it has ended, then run the same command again"
    ),
    "lab-differs": Code(
        "A lab of another shape, or with other delays, is running.",
        "`make in-lab DO=down`, then run the same command again",
    ),
    "lab-running": Code(
        "A lab is running where a saved one shall be restored.",
        "`make in-lab DO=down` removes it for good; then run the same command again",
    ),
    "lab-not-at-rest": Code(
        "A node of the lab could not let go of its guests, so the lab was not saved.",
        "mend what `make status` shows, then run the same command again",
    ),
    "lab-save-unknown": Code("There is no save of that name.", "name one that the message shows"),
    "lab-save-differs": Code(
        "A save was made by another version of the lab.",
        "`make in-lab DO='forget NAME'`, then `make up` and save it anew",
    ),
    "lab-save-exists": Code(
        "There is a save of that name already.", "take another name, or `make in-lab DO='forget NAME'` first"
    ),
    "lab-save-name": Code("A save cannot have that name.", "take small letters, digits and hyphens"),
    "lab-saves-full": Code("There are as many saves as are kept.", "`make in-lab DO='forget NAME'` removes one"),
    "lab-save-stack": Code(
        "A save holds the state of a stack that is deployed outside of the lab now.",
        "restore the save in another checkout of the project",
    ),
    "lab-refused": Code(
        "The lab refused a command, for the shown reason.", "correct the command; `make in-lab` shows examples"
    ),
    "processes-remain": Code(
        "Processes of the lab that were killed are still there.",
        "`make in-lab DO=down`, then run the same command again",
    ),
    "no-such-node": Code("The lab has no machine of that name.", "name one that `make in-lab DO=status` shows"),
    "no-such-link": Code("The machine has no link of that number.", "name one that the message shows"),
    "node-is-off": Code("The machine of the lab is off.", "`make in-lab DO='node start NAME'`"),
    "already-on": Code("The machine of the lab is on already.", "none is needed"),
    "shutdown-timeout": Code(
        "A machine of the lab did not shut down in time.", "`make in-lab DO='node kill NAME'` cuts its power"
    ),
    "machine-not-up": Code(
        "A machine of the lab started, and does not answer.",
        "`make in-lab DO='node console NAME --log'` shows its console; `make in-lab DO='node reboot NAME'`",
    ),
    "not-allowed": Code(
        "A machine of the lab that is no outer host asked for a VM.", "report it with the whole message"
    ),
    "campaign-failed": Code(
        "The lab in which `make campaign` changes a cluster could not be made.",
        "resolve the failure that is shown below it",
    ),
    "bench-failed": Code("What `make bench` measures did not work.", "resolve the failure that is shown above it"),
}
