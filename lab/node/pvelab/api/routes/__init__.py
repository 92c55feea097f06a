"""The API methods. Each module lists its own in ROUTES; a new module here is found by itself."""
