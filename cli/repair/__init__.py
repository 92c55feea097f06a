"""What doctor found is mended, one named repair after another: asked before, and with a backup of what it replaces."""
