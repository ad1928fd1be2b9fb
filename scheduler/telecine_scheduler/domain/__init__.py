"""What a job is and what may become of it. Pure: no I/O, no grpc, no redis, no clock."""
