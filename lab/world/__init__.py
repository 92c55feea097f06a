"""The lab as a whole: what it asks of the machine below, its namespaces, its process, its start and end."""
