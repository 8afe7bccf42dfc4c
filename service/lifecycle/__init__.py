"""What may happen to a job from outside: enqueue, tick, adopt, cancel, replay. One file for each."""
