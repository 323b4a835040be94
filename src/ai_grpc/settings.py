"""The settings of the service, read once from the environment and `.env` by cli and app."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class Settings(BaseSettings):
    """Where the service listens, which database it uses, and how much of everything it holds.

    Durations are in seconds. Each field is read from `AI_GRPC_<NAME>`; the database also from `DATABASE_URL`.
    """

    model_config = SettingsConfigDict(
        env_prefix="AI_GRPC_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    database_url: SecretStr | None = Field(None, validation_alias=AliasChoices("AI_GRPC_DATABASE_URL", "DATABASE_URL"))
    tail_database_url: SecretStr | None = None
    read_database_url: SecretStr | None = None
    database_role: str = "ai_trading_service"
    database_wait: float = Field(30, ge=0)
    data_dir: Path | None = None

    host: str = "[::]"
    port: int = Field(50051, ge=0, le=65535)
    workers: int = Field(1, ge=1, le=64)

    calls_pool_size: int = Field(8, ge=1, le=100)
    replay_pool_size: int = Field(4, ge=1, le=100)
    read_pool_size: int = Field(4, ge=1, le=100)
    statement_timeout: float = Field(10, gt=0)
    lock_timeout: float = Field(5, gt=0)

    max_concurrent_calls: int = Field(1000, ge=1)
    max_subscriptions: int = Field(1000, ge=1)
    call_timeout: float = Field(30, gt=0)
    stream_lifetime: float = Field(3600, gt=0)
    drain_grace: float = Field(10, gt=0)

    append_batch_rows: int = Field(1000, ge=1)
    append_queue_rows: int = Field(20_000, ge=1000)
    append_queue_bytes: int = Field(64 * MIB, ge=4 * MIB)
    ring_events: int = Field(65_536, ge=1)
    ring_bytes: int = Field(64 * MIB, ge=MIB)
    poll_interval: float = Field(0.25, gt=0)
    sweep_interval: float = Field(1.0, gt=0)
    upkeep_interval: float = Field(10.0, gt=0)
    feature_retention_days: int = Field(90, ge=0, le=36500)

    log_level: str = "INFO"
