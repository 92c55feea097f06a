"""Who may do what: users, roles and permissions (user.cfg), passwords, tickets."""
