"""The Proxmox VE API of a node: `dispatch` calls a method, `app` serves it over HTTPS, `routes` has the methods."""
