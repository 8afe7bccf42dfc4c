"""Who is calling, and what they may do: principals, keys, users, sessions."""
