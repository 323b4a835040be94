-- name: report_anomalies
INSERT INTO anomaly_detections AS a (
  anomaly_id, model_id, symbol, detection_timestamp, anomaly_type, severity_score, confidence, market_data_context,
  anomaly_details
)
SELECT
  g.anomaly_id, g.model_id, g.symbol, g.detection_time, g.anomaly_type, g.severity_score,
  -- What the column could not hold is refused by its constraint.
  CASE WHEN g.confidence NOT BETWEEN 0 AND 1 THEN 2 ELSE g.confidence END, g.market_data_context, g.anomaly_details
FROM unnest(
  :anomaly_id::uuid[], :model_id::uuid[], :symbol::text[], :detection_time::timestamptz[], :anomaly_type::text[],
  :severity_score::float8[], :confidence::float8[], :market_data_context::jsonb[], :anomaly_details::jsonb[]
) AS g (
  anomaly_id, model_id, symbol, detection_time, anomaly_type, severity_score, confidence, market_data_context,
  anomaly_details
)
ON CONFLICT (anomaly_id) DO UPDATE SET anomaly_id = EXCLUDED.anomaly_id
WHERE (
  a.model_id, a.symbol, a.detection_timestamp, a.anomaly_type, a.severity_score, a.confidence, a.market_data_context,
  a.anomaly_details
) IS NOT DISTINCT FROM (
  EXCLUDED.model_id, EXCLUDED.symbol, EXCLUDED.detection_timestamp, EXCLUDED.anomaly_type, EXCLUDED.severity_score,
  EXCLUDED.confidence, EXCLUDED.market_data_context, EXCLUDED.anomaly_details
)
RETURNING a.anomaly_id::text, a.xmax <> 0 AS duplicate

-- name: get_anomaly
SELECT m.*
FROM anomaly_detections AS a, anomaly_message(a) AS m
WHERE a.anomaly_id = :anomaly_id

-- name: list_anomalies
SELECT a.detection_timestamp AS page_time, a.anomaly_id AS page_id, m.*
FROM anomaly_detections AS a, anomaly_message(a) AS m
WHERE (:page_time::timestamptz IS NULL OR (a.detection_timestamp, a.anomaly_id) < (:page_time, :page_id::uuid))
  -- A single value is compared as such, so that its index gives the order too.
  AND (cardinality(:symbols::text[]) <> 1 OR a.symbol = (:symbols)[1])
  AND (cardinality(:symbols) < 2 OR a.symbol = ANY (:symbols))
  AND (cardinality(:model_ids::uuid[]) <> 1 OR a.model_id = (:model_ids)[1])
  AND (cardinality(:model_ids) < 2 OR a.model_id = ANY (:model_ids))
  AND (:anomaly_type::text = '' OR a.anomaly_type = :anomaly_type)
  AND (:min_severity::float8 = 0 OR a.severity_score >= :min_severity)
  AND (NOT :open_only::boolean OR NOT a.resolved)
  AND (:start_time::timestamptz IS NULL OR a.detection_timestamp >= :start_time)
  AND (:end_time::timestamptz IS NULL OR a.detection_timestamp < :end_time)
ORDER BY a.detection_timestamp DESC, a.anomaly_id DESC
LIMIT :page_limit

-- name: resolve_anomaly
UPDATE anomaly_detections
SET resolved = TRUE, resolution_timestamp = clock_timestamp(), resolution_note = :resolution_note
WHERE anomaly_id = :anomaly_id AND NOT resolved
