-- name: log_state
SELECT m.epoch::text AS epoch, m.floor, h.sequence AS head
FROM event_log_meta AS m, event_log_head() AS h

-- name: read_events
SELECT l.sequence, l.topic, l.kind, l.commit_time, l.content
FROM event_log AS l
WHERE l.sequence > $1 AND l.sequence <= $2
  AND ($3::text IS NULL OR l.topic = $3)
  AND ($4::text[] IS NULL OR l.kind = ANY ($4))
  AND ($5::text[] IS NULL OR l.content ->> 'symbol' = ANY ($5))
  AND ($6::text[] IS NULL OR l.content ->> 'model_id' = ANY ($6))
  AND ($7::text[] IS NULL OR l.content ->> 'run_id' = ANY ($7))
  AND ($8::float8 IS NULL OR (l.content ->> 'severity_score')::float8 >= $8)
ORDER BY l.sequence
LIMIT $9

-- name: read_active
SELECT a.sequence, 'ANOMALY', 'REPORTED', coalesce(l.commit_time, a.created_at), to_jsonb(m)
FROM anomaly_detections AS a
CROSS JOIN LATERAL anomaly_message(a) AS m
LEFT JOIN event_log AS l ON l.sequence = a.sequence
WHERE NOT a.resolved AND a.sequence > $1 AND a.sequence <= $2
  AND ($3::text IS NULL OR $3 = 'ANOMALY')
  AND ($4::text[] IS NULL OR 'REPORTED' = ANY ($4))
  AND ($5::text[] IS NULL OR a.symbol = ANY ($5))
  AND ($6::text[] IS NULL OR a.model_id = ANY ($6::uuid[]))
  AND $7::text[] IS NULL
  AND ($8::float8 IS NULL OR a.severity_score >= $8)
ORDER BY a.sequence
LIMIT $9

-- name: check_range
SELECT m.floor, (SELECT count(*) FROM event_log AS l WHERE l.sequence > $1 AND l.sequence <= $2) AS events
FROM event_log_meta AS m

-- name: join_replicas
SELECT pg_advisory_lock_shared(4711001, 4), pg_notify('ai_trading_events', '0')

-- name: is_alone
SELECT count(*) = 1
FROM pg_locks
WHERE locktype = 'advisory' AND classid = 4711001 AND objid = 4 AND objsubid = 2
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- name: notify
SELECT pg_notify('ai_trading_events', $1)
