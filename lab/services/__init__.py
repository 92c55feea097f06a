"""What machines of the lab reach over the network: names, downloads, storage."""
