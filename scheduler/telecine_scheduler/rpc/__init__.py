"""gRPC: servicers convert, call a use case, and convert back. The only place that knows grpc and the generated modules."""
