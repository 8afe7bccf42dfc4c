"""What the figures say: what is wrong and what to do about it, levels, and how kinds keep their SLOs."""
