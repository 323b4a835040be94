"""Why a row misses its target, by the name of the row; a rerun keeps what stands here."""

from __future__ import annotations

REASONS: dict[str, str] = {}
