"""The rules. They know resources by type and property only, and never import the program that made them."""

from . import access, capacity, guests, links, nested, unique, upkeep, votes, watchdog
from .rule import Rule, Subject

TOPICS = (
    ("Nested virtualization", nested),
    ("Corosync links", links),
    ("Votes", votes),
    ("Watchdogs", watchdog),
    ("Guests", guests),
    ("Capacity", capacity),
    ("Numbers and addresses", unique),
    ("Access", access),
    ("Upkeep", upkeep),
)
RULES: tuple[Rule, ...] = tuple(rule for _, topic in TOPICS for rule in topic.RULES)

__all__ = ["RULES", "TOPICS", "Rule", "Subject"]
