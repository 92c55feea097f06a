"""The policy pack: a process of its own, which never imports the program."""
