-- name: get_signal
SELECT m.*
FROM ai_signals AS s, signal_message(s) AS m
WHERE s.signal_id = $1

-- name: list_signals
SELECT s.signal_timestamp AS page_time, s.signal_id AS page_id, m.*
FROM ai_signals AS s, signal_message(s) AS m
WHERE ($2::timestamptz IS NULL OR (s.signal_timestamp, s.signal_id) < ($2, $3::uuid))
  -- A single value is compared as such, so that its index gives the order too.
  AND (cardinality($4::text[]) <> 1 OR s.symbol = ($4)[1])
  AND (cardinality($4) < 2 OR s.symbol = ANY ($4))
  AND (cardinality($5::uuid[]) <> 1 OR s.model_id = ($5)[1])
  AND (cardinality($5) < 2 OR s.model_id = ANY ($5))
  AND (cardinality($6::text[]) = 0 OR s.signal_type = ANY ($6))
  AND (cardinality($7::text[]) <> 1 OR s.status = ($7)[1])
  AND (cardinality($7) < 2 OR s.status = ANY ($7))
  AND s.confidence >= $8::float8
  AND ($9::timestamptz IS NULL OR s.signal_timestamp >= $9)
  AND ($10::timestamptz IS NULL OR s.signal_timestamp < $10)
ORDER BY s.signal_timestamp DESC, s.signal_id DESC
LIMIT $1

-- name: end_signal
SELECT e.log_sequence, e.state AS ended_as, e.won
FROM end_signal($1, $2, $3) AS e
