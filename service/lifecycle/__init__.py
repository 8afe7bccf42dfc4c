"""What may happen to a job from outside: enqueue, tick, adopt, cancel, replay, change. One file for each."""
