"""The pages of lanes: what is held, full or paused, by whom and until when; one lane; and the form that sets limits."""
