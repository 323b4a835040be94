-- name: record_evaluations
WITH written AS (
  INSERT INTO signal_performance AS p (
    performance_id, signal_id, evaluation_timestamp, actual_price, price_change_pct, target_hit, stop_loss_hit,
    holding_period_hours, pnl_if_executed
  )
  SELECT
    g.performance_id, g.signal_id, g.evaluation_time, nullif(g.actual_price, '')::NUMERIC, g.price_change_pct,
    g.target_hit, g.stop_loss_hit, g.holding_period_hours, nullif(g.pnl_if_executed, '')::NUMERIC
  FROM unnest(
    :performance_id::uuid[], :signal_id::uuid[], :evaluation_time::timestamptz[], :actual_price::text[],
    :price_change_pct::float8[], :target_hit::boolean[], :stop_loss_hit::boolean[], :holding_period_hours::float8[],
    :pnl_if_executed::text[]
  ) AS g (
    performance_id, signal_id, evaluation_time, actual_price, price_change_pct, target_hit, stop_loss_hit,
    holding_period_hours, pnl_if_executed
  )
  -- In one order, so that two repetitions at once wait for each other in that order only.
  ORDER BY g.performance_id
  ON CONFLICT (performance_id) DO UPDATE SET performance_id = EXCLUDED.performance_id
  WHERE (
    p.signal_id, p.evaluation_timestamp, p.actual_price, p.price_change_pct, p.target_hit, p.stop_loss_hit,
    p.holding_period_hours, p.pnl_if_executed
  ) IS NOT DISTINCT FROM (
    EXCLUDED.signal_id, EXCLUDED.evaluation_timestamp, EXCLUDED.actual_price, EXCLUDED.price_change_pct,
    EXCLUDED.target_hit, EXCLUDED.stop_loss_hit, EXCLUDED.holding_period_hours, EXCLUDED.pnl_if_executed
  )
  RETURNING p AS evaluation, p.xmax <> 0 AS duplicate
)
SELECT w.duplicate, m.*
FROM written AS w, evaluation_message(w.evaluation) AS m

-- name: get_signals_to_evaluate
SELECT
  s.signal_id::text AS signal_id, s.symbol::text AS symbol, s.signal_type::text AS signal_type, s.reference_price,
  coalesce(s.take_profit, s.price_target) AS target, s.stop_loss,
  CASE WHEN :use_market_data_time::boolean THEN s.market_data_timestamp ELSE s.signal_timestamp END AS begin_time
FROM ai_signals AS s
WHERE s.signal_id = ANY (:signal_ids::uuid[])

-- name: get_ends
SELECT DISTINCT ON (p.signal_id) m.*
FROM signal_performance AS p, evaluation_message(p) AS m
WHERE p.signal_id = ANY (:signal_ids::uuid[]) AND (p.target_hit OR p.stop_loss_hit)
ORDER BY p.signal_id, p.evaluation_timestamp, p.created_at DESC, p.performance_id DESC

-- name: list_evaluations
SELECT p.evaluation_timestamp AS page_time, p.performance_id AS page_id, m.*
FROM signal_performance AS p, evaluation_message(p) AS m
WHERE (:page_time::timestamptz IS NULL OR (p.evaluation_timestamp, p.performance_id) < (:page_time, :page_id::uuid))
  AND (:signal_id::text = '' OR p.signal_id = nullif(:signal_id, '')::uuid)
  AND (:model_id::text = '' OR p.model_id = nullif(:model_id, '')::uuid)
  AND (:start_time::timestamptz IS NULL OR p.evaluation_timestamp >= :start_time)
  AND (:end_time::timestamptz IS NULL OR p.evaluation_timestamp < :end_time)
ORDER BY p.evaluation_timestamp DESC, p.performance_id DESC
LIMIT :page_limit

-- name: update_model_performance
SELECT u.duplicate, m.*
FROM update_model_performance(
  :model_id, :evaluation_period, coalesce(:periods_per_year::float8, 252), coalesce(:risk_free::float8, 0),
  :performance_id
) AS u, model_performance_message(u.performance) AS m

-- name: get_model_performance_history
SELECT p.created_at AS page_time, p.performance_id AS page_id, m.*
FROM model_performance AS p, model_performance_message(p) AS m
WHERE p.model_id = :model_id
  AND (:page_time::timestamptz IS NULL OR (p.created_at, p.performance_id) < (:page_time, :page_id::uuid))
  AND (:evaluation_period::daterange IS NULL OR p.evaluation_period = :evaluation_period)
ORDER BY p.created_at DESC, p.performance_id DESC
LIMIT :page_limit

-- name: get_latest_model_performance
-- By model: in an order of time, one that is computed anew between two pages would be on neither.
SELECT page.model_id AS page_id, m.*
FROM (
  SELECT latest.model_id, latest.performance_id
  FROM latest_model_performance AS latest
  WHERE (:page_id::uuid IS NULL OR latest.model_id > :page_id)
    AND (:model_id::text = '' OR latest.model_id = nullif(:model_id, '')::uuid)
  ORDER BY latest.model_id
  LIMIT :page_limit
) AS page
CROSS JOIN LATERAL (
  SELECT p AS performance FROM model_performance AS p WHERE p.performance_id = page.performance_id LIMIT 1
) AS found, model_performance_message(found.performance) AS m
ORDER BY page.model_id

-- name: get_calibration
WITH buckets AS (
  SELECT
    least(floor(e.confidence * :bucket_count::int), :bucket_count - 1)::int AS number,
    count(*)::int AS evaluated_signals, avg(e.confidence)::float8 AS avg_confidence,
    avg(e.successful::int)::float8 AS hit_rate
  FROM evaluated_signals(:model_id, :evaluation_period) AS e
  GROUP BY 1
)
SELECT
  b.number::float8 / :bucket_count AS min_confidence, (b.number + 1)::float8 / :bucket_count AS max_confidence,
  b.evaluated_signals, b.avg_confidence, b.hit_rate,
  sum(b.evaluated_signals * abs(b.hit_rate - b.avg_confidence)) OVER () / sum(b.evaluated_signals) OVER ()
    AS expected_calibration_error
FROM buckets AS b
ORDER BY b.number

-- name: find_model
SELECT a.model_id FROM ai_models AS a WHERE a.model_id = :model_id
