"""Use cases: what the scheduler does, without knowing gRPC."""
