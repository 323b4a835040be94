-- A trade that has ended stays ended: what is evaluated after its end does not count. And the latest performance of a
-- model is the one that knew most.

-- migrate:up
-- As before, but for the evaluations that come after an end, and the order of those at the same time.
CREATE OR REPLACE FUNCTION ai_trading.evaluated_signals(model UUID, period DATERANGE) RETURNS TABLE (
  evaluation_timestamp TIMESTAMPTZ, confidence NUMERIC, signed_return DOUBLE PRECISION, successful BOOLEAN,
  pnl_if_executed NUMERIC, holding_period_hours DOUBLE PRECISION
) LANGUAGE sql STABLE AS $$
  SELECT
    counted.evaluation_timestamp, s.confidence, r.signed_return,
    (counted.target_hit AND NOT counted.stop_loss_hit) OR r.signed_return > 0,
    counted.pnl_if_executed, counted.holding_period_hours
  FROM (
    SELECT DISTINCT ON (p.signal_id)
      p.signal_id, p.evaluation_timestamp, p.price_change_pct, p.target_hit, p.stop_loss_hit, p.pnl_if_executed,
      p.holding_period_hours
    FROM (
      SELECT
        coalesce(lower(period), '-infinity')::timestamp AT TIME ZONE 'UTC' AS first,
        coalesce(upper(period), 'infinity')::timestamp AT TIME ZONE 'UTC' AS past
    ) AS days
    JOIN ai_trading.signal_performance AS p ON p.evaluation_timestamp >= days.first AND p.evaluation_timestamp < days.past
    WHERE p.model_id = model
      -- Not by EXISTS, which may be planned as a hash of all that ever ended.
      AND (
        SELECT ended.signal_id
        FROM ai_trading.signal_performance AS ended
        WHERE ended.signal_id = p.signal_id AND (ended.target_hit OR ended.stop_loss_hit)
          AND ended.evaluation_timestamp < days.first
        LIMIT 1
      ) IS NULL
    ORDER BY p.signal_id, CASE WHEN p.target_hit OR p.stop_loss_hit THEN p.evaluation_timestamp END,
      p.evaluation_timestamp DESC, p.created_at DESC, p.performance_id DESC
  ) AS counted
  JOIN ai_trading.ai_signals AS s ON s.signal_id = counted.signal_id
  CROSS JOIN LATERAL (
    SELECT CASE s.signal_type WHEN 'BUY' THEN counted.price_change_pct / 100 ELSE -counted.price_change_pct / 100 END
  ) AS r (signed_return)
  WHERE s.signal_type IN ('BUY', 'SELL')
$$;

-- One row a signal, with its model and the evaluation that counts: the first end of its trade, or the latest.
CREATE OR REPLACE VIEW ai_trading.enriched_ai_signals AS
SELECT
  s.signal_id, s.model_id, m.model_name, m.model_type, m.model_subtype, m.version AS model_version, s.symbol,
  s.signal_type, s.confidence, s.price_target, s.stop_loss, s.take_profit, s.reference_price, s.signal_timestamp,
  s.market_data_timestamp, s.expires_at, s.metadata, s.status, s.pattern_id, s.trade_plan_id, s.created_at,
  counted.performance_id, counted.evaluation_timestamp, counted.actual_price, counted.price_change_pct,
  counted.target_hit, counted.stop_loss_hit, counted.holding_period_hours, counted.pnl_if_executed
FROM ai_trading.ai_signals AS s
JOIN ai_trading.ai_models AS m ON m.model_id = s.model_id
LEFT JOIN LATERAL (
  SELECT
    p.performance_id, p.evaluation_timestamp, p.actual_price, p.price_change_pct, p.target_hit, p.stop_loss_hit,
    p.holding_period_hours, p.pnl_if_executed
  FROM ai_trading.signal_performance AS p
  WHERE p.signal_id = s.signal_id
  ORDER BY CASE WHEN p.target_hit OR p.stop_loss_hit THEN p.evaluation_timestamp END,
    p.evaluation_timestamp DESC, p.created_at DESC, p.performance_id DESC
  LIMIT 1
) AS counted ON TRUE;

-- When the statement that computes it began, not when it was done: of two at once, one that began later knows more.
ALTER TABLE ai_trading.model_performance ALTER created_at SET DEFAULT statement_timestamp();

-- migrate:down
ALTER TABLE ai_trading.model_performance ALTER created_at SET DEFAULT clock_timestamp();
CREATE OR REPLACE VIEW ai_trading.enriched_ai_signals AS
SELECT
  s.signal_id, s.model_id, m.model_name, m.model_type, m.model_subtype, m.version AS model_version, s.symbol,
  s.signal_type, s.confidence, s.price_target, s.stop_loss, s.take_profit, s.reference_price, s.signal_timestamp,
  s.market_data_timestamp, s.expires_at, s.metadata, s.status, s.pattern_id, s.trade_plan_id, s.created_at,
  latest.performance_id, latest.evaluation_timestamp, latest.actual_price, latest.price_change_pct, latest.target_hit,
  latest.stop_loss_hit, latest.holding_period_hours, latest.pnl_if_executed
FROM ai_trading.ai_signals AS s
JOIN ai_trading.ai_models AS m ON m.model_id = s.model_id
LEFT JOIN LATERAL (
  SELECT
    p.performance_id, p.evaluation_timestamp, p.actual_price, p.price_change_pct, p.target_hit, p.stop_loss_hit,
    p.holding_period_hours, p.pnl_if_executed
  FROM ai_trading.signal_performance AS p
  WHERE p.signal_id = s.signal_id
  ORDER BY p.evaluation_timestamp DESC, p.performance_id DESC
  LIMIT 1
) AS latest ON TRUE;
CREATE OR REPLACE FUNCTION ai_trading.evaluated_signals(model UUID, period DATERANGE) RETURNS TABLE (
  evaluation_timestamp TIMESTAMPTZ, confidence NUMERIC, signed_return DOUBLE PRECISION, successful BOOLEAN,
  pnl_if_executed NUMERIC, holding_period_hours DOUBLE PRECISION
) LANGUAGE sql STABLE AS $$
  SELECT
    latest.evaluation_timestamp, s.confidence, r.signed_return,
    (latest.target_hit AND NOT latest.stop_loss_hit) OR r.signed_return > 0,
    latest.pnl_if_executed, latest.holding_period_hours
  FROM (
    SELECT DISTINCT ON (p.signal_id)
      p.signal_id, p.evaluation_timestamp, p.price_change_pct, p.target_hit, p.stop_loss_hit, p.pnl_if_executed,
      p.holding_period_hours
    FROM ai_trading.signal_performance AS p
    WHERE p.model_id = model
      AND p.evaluation_timestamp >= coalesce(lower(period), '-infinity')::timestamp AT TIME ZONE 'UTC'
      AND p.evaluation_timestamp < coalesce(upper(period), 'infinity')::timestamp AT TIME ZONE 'UTC'
    ORDER BY p.signal_id, p.evaluation_timestamp DESC, p.performance_id DESC
  ) AS latest
  JOIN ai_trading.ai_signals AS s ON s.signal_id = latest.signal_id
  CROSS JOIN LATERAL (
    SELECT CASE s.signal_type WHEN 'BUY' THEN latest.price_change_pct / 100 ELSE -latest.price_change_pct / 100 END
  ) AS r (signed_return)
  WHERE s.signal_type IN ('BUY', 'SELL')
$$;
