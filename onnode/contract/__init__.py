"""What each step is asked to bring about, and what it reports: the contract between the control machine and the machines.

The control machine builds what is asked from the configuration, and sends it as JSON on a step's standard input; the
on-node package parses it back with :func:`onnode.contract.documents.parse`. What is reported comes as JSON in the last line of a step's output.
Both ends use these classes. They hold plain JSON types only, so that a preview shows the wanted facts
themselves. Units are part of the names. A step loads only those that it needs: a machine runs a dozen steps in a row.
"""
