import os

# The processes that the run starts are no forks that go on using gRPC.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
