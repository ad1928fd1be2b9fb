"""The worker: leases jobs, runs FFmpeg, verifies and publishes what it made."""
