"""Who calls, and what they may do: principals, keys, users, sessions."""
