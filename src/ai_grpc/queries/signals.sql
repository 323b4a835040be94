-- name: get_signal
SELECT m.*
FROM ai_signals AS s, signal_message(s) AS m
WHERE s.signal_id = :signal_id

-- name: list_signals
SELECT s.signal_timestamp AS page_time, s.signal_id AS page_id, m.*
FROM ai_signals AS s, signal_message(s) AS m
WHERE (:page_time::timestamptz IS NULL OR (s.signal_timestamp, s.signal_id) < (:page_time, :page_id::uuid))
  -- A single value is compared as such, so that its index gives the order too.
  AND (cardinality(:symbols::text[]) <> 1 OR s.symbol = (:symbols)[1])
  AND (cardinality(:symbols) < 2 OR s.symbol = ANY (:symbols))
  AND (cardinality(:model_ids::uuid[]) <> 1 OR s.model_id = (:model_ids)[1])
  AND (cardinality(:model_ids) < 2 OR s.model_id = ANY (:model_ids))
  AND (cardinality(:signal_types::text[]) = 0 OR s.signal_type = ANY (:signal_types))
  AND (cardinality(:states::text[]) <> 1 OR s.status = (:states)[1])
  AND (cardinality(:states) < 2 OR s.status = ANY (:states))
  AND s.confidence >= :min_confidence::float8
  AND (:start_time::timestamptz IS NULL OR s.signal_timestamp >= :start_time)
  AND (:end_time::timestamptz IS NULL OR s.signal_timestamp < :end_time)
ORDER BY s.signal_timestamp DESC, s.signal_id DESC
LIMIT :page_limit

-- name: end_signal
SELECT e.log_sequence, e.state AS ended_as, e.won
FROM end_signal(:signal_id, :state, nullif(:request_id, '')::uuid) AS e
