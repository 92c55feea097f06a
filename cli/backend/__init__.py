"""The files in which the engine keeps a state on this machine: which are whole, and which run holds them."""
