-- name: log_state
SELECT m.epoch::text AS epoch, m.floor, h.sequence AS head
FROM log_meta AS m, signal_log_head() AS h

-- name: append
SELECT log_sequence, log_time, is_duplicate, refusal
FROM append_signals($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)

-- name: read_events
SELECT l.sequence, 'KIND_' || l.kind AS kind, l.commit_time, m.*
FROM signal_log AS l
JOIN ai_signals AS s ON s.signal_id = l.signal_id, signal_message(s) AS m
WHERE l.sequence > $1 AND l.sequence <= $2
ORDER BY l.sequence

-- name: read_active
SELECT s.sequence, 'KIND_PUBLISHED' AS kind, s.created_at AS commit_time, m.*
FROM ai_signals AS s, signal_message(s) AS m
WHERE s.status = 'ACTIVE' AND s.sequence > $1 AND s.sequence <= $2
ORDER BY s.sequence
LIMIT $3

-- name: position_at
SELECT signal_log_position($1)

-- name: floor
SELECT floor FROM log_meta

-- name: notify
SELECT pg_notify('ai_trading_signals', $1)

-- name: expire
SELECT expire_signals($1)
