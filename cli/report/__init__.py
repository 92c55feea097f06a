"""What a change of a stack would do, for the person who reviews it."""
