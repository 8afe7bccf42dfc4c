"""The pages of lanes: which are held, full or paused, by whom and until when; one lane; and the form for limits."""
