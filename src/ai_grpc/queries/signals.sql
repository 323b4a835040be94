-- name: get_signal
SELECT m.*
FROM ai_signals AS s, signal_message(s) AS m
WHERE s.signal_id = $1

-- name: list_signals
SELECT s.signal_timestamp AS page_time, s.signal_id AS page_id, m.*
FROM ai_signals AS s, signal_message(s) AS m
WHERE ($2::timestamptz IS NULL OR (s.signal_timestamp, s.signal_id) < ($2, $3::uuid))
  AND ($4::text[] IS NULL OR s.symbol = ANY ($4))
  AND ($5::uuid[] IS NULL OR s.model_id = ANY ($5))
  AND ($6::text[] IS NULL OR s.signal_type = ANY ($6))
  AND ($7::text[] IS NULL OR s.status = ANY ($7))
  AND s.confidence >= $8::float8
  AND ($9::timestamptz IS NULL OR s.signal_timestamp >= $9)
  AND ($10::timestamptz IS NULL OR s.signal_timestamp < $10)
ORDER BY s.signal_timestamp DESC, s.signal_id DESC
LIMIT $1

-- name: end_signal
SELECT e.log_sequence, e.state AS ended_as, e.won
FROM end_signal($1, $2, $3) AS e
