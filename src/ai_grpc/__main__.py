"""`python -m ai_grpc` is `ai-grpc`."""

from __future__ import annotations

from ai_grpc.cli import main

main()
