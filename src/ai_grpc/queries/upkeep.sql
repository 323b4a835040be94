-- name: sessions_without_heartbeat_failed
SELECT fail_silent_sessions()
