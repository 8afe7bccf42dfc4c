"""An attempt, from its recorded start to its recorded finish."""
