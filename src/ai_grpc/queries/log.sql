-- name: log_state
SELECT m.epoch::text AS epoch, m.floor, h.sequence AS head
FROM log_meta AS m, signal_log_head() AS h

-- name: append
SELECT log_sequence, log_time, is_duplicate, refusal
FROM append_signals(
  string_to_array($1, e'\x1f', '')::int[],
  string_to_array($2, e'\x1f', '')::uuid[],
  string_to_array($3, e'\x1f', '')::uuid[],
  string_to_array($4, e'\x1f', ''),
  string_to_array($5, e'\x1f', ''),
  string_to_array($6, e'\x1f', '')::float8[],
  string_to_array($7, e'\x1f', ''),
  string_to_array($8, e'\x1f', ''),
  string_to_array($9, e'\x1f', ''),
  string_to_array($10, e'\x1f', ''),
  string_to_array($11, e'\x1f', '')::bigint[],
  string_to_array($12, e'\x1f', '')::bigint[],
  string_to_array($13, e'\x1f', '')::bigint[],
  string_to_array($14, e'\x1f', ''),
  string_to_array($15, e'\x1f', '')::bigint[],
  string_to_array($16, e'\x1f', '')::bigint[],
  $17
)

-- name: read_events
SELECT l.sequence, l.kind, l.commit_time, nullif(s.created_at, l.commit_time), s.status, s.trade_plan_id, s.symbol, s.model_id::text,
  s.signal_type, s.confidence::float8, s.message,
  (SELECT to_jsonb(m) FROM signal_message(s) AS m WHERE s.message IS NULL)
FROM signal_log AS l
JOIN ai_signals AS s ON s.signal_id = l.signal_id
WHERE l.sequence > $1 AND l.sequence <= $2
  AND ($3::text[] IS NULL OR s.symbol = ANY ($3))
  AND ($4::uuid[] IS NULL OR s.model_id = ANY ($4))
  AND ($5::text[] IS NULL OR s.signal_type = ANY ($5))
  AND ($6::text[] IS NULL OR l.kind = ANY ($6))
  AND s.confidence >= $7::float8
ORDER BY l.sequence
LIMIT $8

-- name: read_active
SELECT s.sequence, 'PUBLISHED', s.created_at, NULL::timestamptz, s.status, s.trade_plan_id, s.symbol, s.model_id::text,
  s.signal_type, s.confidence::float8, s.message,
  (SELECT to_jsonb(m) FROM signal_message(s) AS m WHERE s.message IS NULL)
FROM ai_signals AS s
WHERE s.status = 'ACTIVE' AND s.sequence > $1 AND s.sequence <= $2
  AND ($3::text[] IS NULL OR s.symbol = ANY ($3))
  AND ($4::uuid[] IS NULL OR s.model_id = ANY ($4))
  AND ($5::text[] IS NULL OR s.signal_type = ANY ($5))
  AND ($6::text[] IS NULL OR 'PUBLISHED' = ANY ($6))
  AND s.confidence >= $7::float8
ORDER BY s.sequence
LIMIT $8

-- name: position_at
SELECT signal_log_position($1)

-- name: check_range
SELECT m.floor, (SELECT count(*) FROM signal_log AS l WHERE l.sequence > $1 AND l.sequence <= $2) AS events
FROM log_meta AS m

-- name: join_replicas
SELECT pg_advisory_lock_shared(4711001, 2), pg_notify('ai_trading_signals', '0')

-- name: is_alone
SELECT count(*) = 1
FROM pg_locks
WHERE locktype = 'advisory' AND classid = 4711001 AND objid = 2 AND objsubid = 2
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- name: notify
SELECT pg_notify('ai_trading_signals', $1)

-- name: expire
SELECT expire_signals($1)
