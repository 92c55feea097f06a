"""What the lab's machines boot from: root image, packages and repository, installer ISO, templates, the mount of a disk."""
