"""The exchange: signals in, one ordered log, events out. It knows PostgreSQL and the contract's messages, not gRPC."""
