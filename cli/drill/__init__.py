"""The failover drill: one node is stopped hard, and each guest has a clock until it runs elsewhere."""
