-- name: record_spectrum_analysis
INSERT INTO spectrum_analysis AS s (
  analysis_id, model_id, symbol, analysis_timestamp, analysis_type, frequency_components, spectral_features,
  pattern_detected, pattern_confidence, reconstruction_error, anomaly_score
)
VALUES (
  :analysis_id, :model_id, :symbol, :analysis_time, :analysis_type, :frequency_components, :spectral_features,
  :pattern_detected,
  -- What the column could not hold is refused by its constraint.
  CASE WHEN :pattern_confidence::float8 NOT BETWEEN 0 AND 1 THEN 2 ELSE :pattern_confidence END,
  :reconstruction_error, :anomaly_score
)
ON CONFLICT (analysis_id) DO UPDATE SET analysis_id = EXCLUDED.analysis_id
WHERE (
  s.model_id, s.symbol, s.analysis_timestamp, s.analysis_type, s.frequency_components, s.spectral_features,
  s.pattern_detected, s.pattern_confidence, s.reconstruction_error, s.anomaly_score
) IS NOT DISTINCT FROM (
  EXCLUDED.model_id, EXCLUDED.symbol, EXCLUDED.analysis_timestamp, EXCLUDED.analysis_type,
  EXCLUDED.frequency_components, EXCLUDED.spectral_features, EXCLUDED.pattern_detected, EXCLUDED.pattern_confidence,
  EXCLUDED.reconstruction_error, EXCLUDED.anomaly_score
)
RETURNING s.xmax <> 0 AS duplicate

-- name: get_spectrum_analysis
SELECT m.*
FROM spectrum_analysis AS s, spectrum_analysis_message(s) AS m
WHERE s.analysis_id = :analysis_id

-- name: list_spectrum_analyses
SELECT s.analysis_timestamp AS page_time, s.analysis_id AS page_id, m.*
FROM spectrum_analysis AS s, spectrum_analysis_message(s) AS m
WHERE (:page_time::timestamptz IS NULL OR (s.analysis_timestamp, s.analysis_id) < (:page_time, :page_id::uuid))
  AND (:symbol::text = '' OR s.symbol = :symbol)
  AND (:analysis_type::text = '' OR s.analysis_type = :analysis_type)
  AND (:pattern_detected::text = '' OR s.pattern_detected = :pattern_detected)
  AND (:model_id::text = '' OR s.model_id = nullif(:model_id, '')::uuid)
  AND (:start_time::timestamptz IS NULL OR s.analysis_timestamp >= :start_time)
  AND (:end_time::timestamptz IS NULL OR s.analysis_timestamp < :end_time)
ORDER BY s.analysis_timestamp DESC, s.analysis_id DESC
LIMIT :page_limit
