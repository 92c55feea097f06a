"""What the engine has recorded, and the edits that bring it in line with what is there."""
