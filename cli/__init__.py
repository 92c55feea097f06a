"""The control machine's side: commands of daily work, and steps that look at several machines before they act on one."""
