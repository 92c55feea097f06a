"""What is wrong, and why: before a first `up`, and with a broken cluster. Nothing is changed."""
