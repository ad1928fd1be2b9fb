"""The scheduler: takes jobs, keeps them in Redis, and leases them to workers."""
