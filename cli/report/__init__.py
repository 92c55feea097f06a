"""What a change of a stack would do, told to the person who reviews it."""
