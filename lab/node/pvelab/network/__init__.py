"""The node's network configuration: /etc/network/interfaces and what waits in interfaces.new."""
