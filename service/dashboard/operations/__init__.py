"""Operations: what is under way, how far it is, and what failed in it."""
