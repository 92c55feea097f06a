"""Steps on an outer host, and the parts that only they use."""
