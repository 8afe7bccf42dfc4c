"""Operations: what is under way, its progress, and what failed."""
