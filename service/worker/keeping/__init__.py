"""What a worker does beside performing jobs: the lease, the sweep, cron; one file for each chore."""
