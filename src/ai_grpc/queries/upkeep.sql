-- name: sessions_without_heartbeat_failed
SELECT fail_silent_sessions()

-- name: runs_without_heartbeat_failed
SELECT fail_silent_runs()
