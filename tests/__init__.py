"""The tests."""

import os

# A program is started as another user by a real fork, whose child gRPC's handlers would crash in the midst of calls.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
