"""`pmxcfs`: the cluster file system on /etc/pve."""

import sys

from pvelab.pmxcfs.daemon import main

if __name__ == "__main__":
    sys.exit(main())
