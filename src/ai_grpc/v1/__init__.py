"""The generated stubs of the contract in protos/ai_grpc/v1."""
