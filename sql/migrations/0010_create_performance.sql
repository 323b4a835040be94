-- How good signals were, and the models that made them.

-- migrate:up
CREATE TABLE ai_trading.signal_performance (
  performance_id       UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  signal_id            UUID NOT NULL REFERENCES ai_trading.ai_signals,
  model_id             UUID,
  evaluation_timestamp TIMESTAMPTZ,
  actual_price         NUMERIC NOT NULL,
  price_change_pct     DOUBLE PRECISION NOT NULL,
  target_hit           BOOLEAN NOT NULL DEFAULT FALSE,
  stop_loss_hit        BOOLEAN NOT NULL DEFAULT FALSE,
  holding_period_hours DOUBLE PRECISION,
  pnl_if_executed      NUMERIC,
  created_at           TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT evaluation_time_is_required CHECK (evaluation_timestamp IS NOT NULL),
  CONSTRAINT actual_price_has_at_most_9_digits_and_6_decimals
    CHECK (abs(actual_price) < 1000000000 AND actual_price = round(actual_price, 6)),
  -- So that no sum or square of what is computed from it can overflow, or underflow, which PostgreSQL refuses too.
  CONSTRAINT price_change_pct_is_0_or_of_a_size_from_1e_minus_20_to_1e20
    CHECK (price_change_pct = 0 OR abs(price_change_pct) BETWEEN 1e-20 AND 1e20),
  CONSTRAINT holding_period_hours_is_from_0_to_1e9 CHECK (holding_period_hours BETWEEN 0 AND 1e9),
  CONSTRAINT pnl_if_executed_has_at_most_15_digits_and_6_decimals
    CHECK (abs(pnl_if_executed) < 1000000000000000 AND pnl_if_executed = round(pnl_if_executed, 6))
);

COMMENT ON COLUMN ai_trading.signal_performance.model_id IS
  'That of the signal, put here by a trigger so that an index finds the evaluations of a model.';

CREATE INDEX idx_signal_performance_time
  ON ai_trading.signal_performance (evaluation_timestamp DESC, performance_id DESC);
CREATE INDEX idx_signal_performance_signal_time
  ON ai_trading.signal_performance (signal_id, evaluation_timestamp DESC, performance_id DESC);
CREATE INDEX idx_signal_performance_model_time
  ON ai_trading.signal_performance (model_id, evaluation_timestamp DESC, performance_id DESC);

-- A signal that does not exist has no model; the foreign key refuses it after this.
CREATE FUNCTION ai_trading.set_model_of_evaluation() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
  NEW.model_id := (SELECT s.model_id FROM ai_trading.ai_signals AS s WHERE s.signal_id = NEW.signal_id);
  RETURN NEW;
END
$$;

CREATE TRIGGER set_model_of_evaluation BEFORE INSERT ON ai_trading.signal_performance
  FOR EACH ROW EXECUTE FUNCTION ai_trading.set_model_of_evaluation();

CREATE TABLE ai_trading.model_performance (
  performance_id           UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  model_id                 UUID NOT NULL REFERENCES ai_trading.ai_models,
  evaluation_period        DATERANGE NOT NULL,
  total_signals            INTEGER NOT NULL,
  evaluated_signals        INTEGER NOT NULL,
  successful_signals       INTEGER NOT NULL,
  signal_accuracy          DOUBLE PRECISION,
  avg_confidence           DOUBLE PRECISION,
  sharpe_ratio             DOUBLE PRECISION,
  max_drawdown             DOUBLE PRECISION,
  total_return             DOUBLE PRECISION,
  volatility               DOUBLE PRECISION,
  win_rate                 DOUBLE PRECISION,
  avg_holding_period_hours DOUBLE PRECISION,
  risk_adjusted_return     DOUBLE PRECISION,
  periods_per_year         DOUBLE PRECISION NOT NULL,
  risk_free                DOUBLE PRECISION NOT NULL,
  created_at               TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT evaluation_period_has_a_beginning_and_an_end
    CHECK (lower(evaluation_period) > '-infinity' AND upper(evaluation_period) < 'infinity'
      AND lower(evaluation_period) IS NOT NULL AND upper(evaluation_period) IS NOT NULL),
  CONSTRAINT periods_per_year_is_from_1_to_1000000 CHECK (periods_per_year BETWEEN 1 AND 1000000),
  CONSTRAINT risk_free_is_from_minus_1_to_1 CHECK (risk_free BETWEEN -1 AND 1),
  CONSTRAINT successful_signals_are_evaluated CHECK (successful_signals BETWEEN 0 AND evaluated_signals),
  CONSTRAINT rates_are_from_0_to_1
    CHECK (signal_accuracy BETWEEN 0 AND 1 AND avg_confidence BETWEEN 0 AND 1 AND win_rate BETWEEN 0 AND 1),
  CONSTRAINT statistics_are_finite_numbers
    CHECK (abs(sharpe_ratio) < 'Infinity' AND abs(max_drawdown) < 'Infinity' AND abs(total_return) < 'Infinity'
      AND abs(volatility) < 'Infinity' AND abs(avg_holding_period_hours) < 'Infinity'
      AND abs(risk_adjusted_return) < 'Infinity')
);

COMMENT ON COLUMN ai_trading.model_performance.risk_adjusted_return IS
  'The Calmar ratio: total_return as of one year, over max_drawdown.';
COMMENT ON COLUMN ai_trading.model_performance.risk_free IS 'The return of a day without risk, as a ratio.';

CREATE INDEX idx_model_performance_model_time
  ON ai_trading.model_performance (model_id, created_at DESC, performance_id DESC);
CREATE INDEX idx_model_performance_model_period
  ON ai_trading.model_performance (model_id, evaluation_period, created_at DESC, performance_id DESC);
CREATE INDEX idx_model_performance_sharpe ON ai_trading.model_performance (sharpe_ratio DESC);

-- An evaluation as the message Evaluation has it. The planner inlines it.
CREATE FUNCTION ai_trading.evaluation_message(p ai_trading.signal_performance) RETURNS TABLE (
  performance_id TEXT, signal_id TEXT, evaluation_time TIMESTAMPTZ, actual_price TEXT, price_change_pct DOUBLE PRECISION,
  target_hit BOOLEAN, stop_loss_hit BOOLEAN, holding_period_hours DOUBLE PRECISION, pnl_if_executed TEXT,
  create_time TIMESTAMPTZ
) LANGUAGE sql STABLE AS $$
  SELECT
    p.performance_id::text, p.signal_id::text, p.evaluation_timestamp, trim_scale(p.actual_price)::text,
    p.price_change_pct, p.target_hit, p.stop_loss_hit, p.holding_period_hours, trim_scale(p.pnl_if_executed)::text,
    p.created_at
$$;

-- A performance as the message ModelPerformance has it. The planner inlines it.
CREATE FUNCTION ai_trading.model_performance_message(p ai_trading.model_performance) RETURNS TABLE (
  performance_id TEXT, model_id TEXT, evaluation_period JSONB, total_signals INTEGER, evaluated_signals INTEGER,
  successful_signals INTEGER, signal_accuracy DOUBLE PRECISION, avg_confidence DOUBLE PRECISION,
  sharpe_ratio DOUBLE PRECISION, max_drawdown DOUBLE PRECISION, total_return DOUBLE PRECISION,
  volatility DOUBLE PRECISION, win_rate DOUBLE PRECISION, avg_holding_period_hours DOUBLE PRECISION,
  risk_adjusted_return DOUBLE PRECISION, periods_per_year DOUBLE PRECISION, risk_free DOUBLE PRECISION,
  create_time TIMESTAMPTZ
) LANGUAGE sql STABLE AS $$
  SELECT
    p.performance_id::text, p.model_id::text, ai_trading.period_message(p.evaluation_period), p.total_signals,
    p.evaluated_signals, p.successful_signals, p.signal_accuracy, p.avg_confidence, p.sharpe_ratio, p.max_drawdown,
    p.total_return, p.volatility, p.win_rate, p.avg_holding_period_hours, p.risk_adjusted_return, p.periods_per_year,
    p.risk_free, p.created_at
$$;

CREATE CONSTRAINT TRIGGER log_model_performance AFTER INSERT ON ai_trading.model_performance
  DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION ai_trading.log_event('PERFORMANCE', 'RECORDED', 'model_performance_message');

-- The signals of a model that say BUY or SELL and were evaluated in a period, of days in UTC, each by its latest
-- evaluation there. All time if there is no period.
CREATE FUNCTION ai_trading.evaluated_signals(model UUID, period DATERANGE) RETURNS TABLE (
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

-- The metrics of a series of returns, defined as empyrical defines them, but for the sign of max_drawdown; NULL where
-- they cannot be computed. Growth is compounded as a sum of logarithms, whose exponents are kept from overflow.
CREATE FUNCTION ai_trading.return_metrics(
  returns DOUBLE PRECISION[], periods_per_year DOUBLE PRECISION, risk_free DOUBLE PRECISION
) RETURNS TABLE (
  sharpe_ratio DOUBLE PRECISION, max_drawdown DOUBLE PRECISION, total_return DOUBLE PRECISION,
  volatility DOUBLE PRECISION, calmar_ratio DOUBLE PRECISION
) LANGUAGE sql IMMUTABLE AS $$
  WITH steps AS (
    SELECT r.place, r.value, CASE WHEN r.value > -1 THEN ln(1 + r.value) END AS step
    FROM unnest(returns) WITH ORDINALITY AS r (value, place)
  ), levels AS (
    SELECT s.place, s.value, s.step, sum(s.step) OVER (ORDER BY s.place) AS level FROM steps AS s
  ), falls AS (
    SELECT l.value, l.step, l.level - greatest(0, max(l.level) OVER (ORDER BY l.place)) AS fall FROM levels AS l
  ), summary AS (
    SELECT
      avg(f.value) AS mean, stddev_samp(f.value) AS deviation,
      -- What is smaller than this is left over from rounding: constant returns have no deviation.
      1e-12 * greatest(1e-3, max(abs(f.value))) AS noise,
      CASE WHEN min(f.value) > -1 THEN sum(f.step) END AS growth,
      CASE WHEN min(f.value) > -1 THEN 1 - exp(greatest(min(f.fall), -700)) END AS drawdown,
      count(*) AS periods
    FROM falls AS f
  )
  SELECT
    CASE WHEN s.deviation > s.noise THEN (s.mean - risk_free) / s.deviation * sqrt(abs(periods_per_year)) END,
    s.drawdown,
    CASE WHEN s.growth < 700 THEN exp(greatest(s.growth, -700)) - 1 END,
    CASE WHEN s.deviation > s.noise THEN s.deviation * sqrt(abs(periods_per_year)) ELSE 0 * s.deviation END,
    CASE WHEN s.drawdown > 1e-12 AND s.growth * periods_per_year / s.periods < 600
      THEN (exp(greatest(s.growth * periods_per_year / s.periods, -700)) - 1) / s.drawdown END
  FROM summary AS s
  WHERE periods_per_year BETWEEN 1 AND 1000000 AND risk_free BETWEEN -1 AND 1
$$;

-- Computes the performance of a model over a period of days in UTC from what is known now, stores it, and returns it. No
-- row comes back if the id is that of another model, period or parameters.
CREATE FUNCTION ai_trading.update_model_performance(
  model UUID, period DATERANGE, periods_per_year DOUBLE PRECISION DEFAULT 252, risk_free DOUBLE PRECISION DEFAULT 0,
  id UUID DEFAULT gen_random_uuid()
) RETURNS TABLE (performance ai_trading.model_performance, duplicate BOOLEAN)
LANGUAGE sql VOLATILE AS $$
  WITH evaluated AS MATERIALIZED (
    SELECT e.* FROM ai_trading.evaluated_signals(model, period) AS e
  ), made AS (
    SELECT count(*) AS signals, avg(s.confidence) AS confidence
    FROM ai_trading.ai_signals AS s
    WHERE s.model_id = model
      AND s.signal_timestamp >= lower(period)::timestamp AT TIME ZONE 'UTC'
      AND s.signal_timestamp < upper(period)::timestamp AT TIME ZONE 'UTC'
  ), judged AS (
    SELECT
      count(*) AS signals, count(*) FILTER (WHERE e.successful) AS successes,
      count(*) FILTER (WHERE e.pnl_if_executed > 0) AS wins, count(*) FILTER (WHERE e.pnl_if_executed <> 0) AS trades,
      avg(e.holding_period_hours) AS hours
    FROM evaluated AS e
  ), daily AS (
    SELECT (e.evaluation_timestamp AT TIME ZONE 'UTC')::date AS day, avg(e.signed_return) AS value
    FROM evaluated AS e GROUP BY 1
  )
  INSERT INTO ai_trading.model_performance AS p (
    performance_id, model_id, evaluation_period, total_signals, evaluated_signals, successful_signals, signal_accuracy,
    avg_confidence, sharpe_ratio, max_drawdown, total_return, volatility, win_rate, avg_holding_period_hours,
    risk_adjusted_return, periods_per_year, risk_free
  )
  SELECT
    id, model, period, made.signals, judged.signals, judged.successes,
    judged.successes::float8 / nullif(judged.signals, 0), made.confidence, m.sharpe_ratio, m.max_drawdown,
    m.total_return, m.volatility, judged.wins::float8 / nullif(judged.trades, 0), judged.hours, m.calmar_ratio,
    update_model_performance.periods_per_year, update_model_performance.risk_free
  FROM made
  CROSS JOIN judged
  -- Parameters out of range have no metrics, and are refused by the table.
  LEFT JOIN ai_trading.return_metrics(
    ARRAY(SELECT d.value FROM daily AS d ORDER BY d.day), periods_per_year, risk_free
  ) AS m ON TRUE
  ON CONFLICT (performance_id) DO UPDATE SET performance_id = EXCLUDED.performance_id
  WHERE (p.model_id, p.evaluation_period, p.periods_per_year, p.risk_free)
    = (EXCLUDED.model_id, EXCLUDED.evaluation_period, EXCLUDED.periods_per_year, EXCLUDED.risk_free)
  RETURNING p, p.xmax <> 0
$$;

-- One row a signal, with its model and its latest evaluation.
CREATE VIEW ai_trading.enriched_ai_signals AS
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

-- One row an active model: the performance that was computed last. One step into an index a model, where DISTINCT ON
-- would sort the whole history.
CREATE VIEW ai_trading.latest_model_performance AS
SELECT
  m.model_id, m.model_name, m.model_type, m.model_subtype, m.version AS model_version, latest.performance_id,
  latest.evaluation_period, latest.total_signals, latest.evaluated_signals, latest.successful_signals,
  latest.signal_accuracy, latest.avg_confidence, latest.sharpe_ratio, latest.max_drawdown, latest.total_return,
  latest.volatility, latest.win_rate, latest.avg_holding_period_hours, latest.risk_adjusted_return,
  latest.periods_per_year, latest.risk_free, latest.created_at
FROM ai_trading.ai_models AS m
CROSS JOIN LATERAL (
  SELECT
    p.performance_id, p.evaluation_period, p.total_signals, p.evaluated_signals, p.successful_signals,
    p.signal_accuracy, p.avg_confidence, p.sharpe_ratio, p.max_drawdown, p.total_return, p.volatility, p.win_rate,
    p.avg_holding_period_hours, p.risk_adjusted_return, p.periods_per_year, p.risk_free, p.created_at
  FROM ai_trading.model_performance AS p
  WHERE p.model_id = m.model_id
  ORDER BY p.created_at DESC, p.performance_id DESC
  LIMIT 1
) AS latest
WHERE m.is_active;

-- The repetition of an insert locks the row that is there, which takes the right to update its key.
GRANT SELECT, INSERT, UPDATE (performance_id) ON ai_trading.signal_performance, ai_trading.model_performance
  TO ai_trading_service;
GRANT SELECT ON ai_trading.enriched_ai_signals, ai_trading.latest_model_performance TO ai_trading_service;
REVOKE ALL ON FUNCTION ai_trading.set_model_of_evaluation, ai_trading.evaluation_message,
  ai_trading.model_performance_message, ai_trading.evaluated_signals, ai_trading.return_metrics,
  ai_trading.update_model_performance FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai_trading.evaluation_message, ai_trading.model_performance_message,
  ai_trading.evaluated_signals, ai_trading.return_metrics, ai_trading.update_model_performance TO ai_trading_service;

-- migrate:down
DROP VIEW ai_trading.latest_model_performance;
DROP VIEW ai_trading.enriched_ai_signals;
DROP FUNCTION ai_trading.update_model_performance;
DROP FUNCTION ai_trading.return_metrics;
DROP FUNCTION ai_trading.evaluated_signals;
DROP TRIGGER log_model_performance ON ai_trading.model_performance;
DROP FUNCTION ai_trading.model_performance_message;
DROP FUNCTION ai_trading.evaluation_message;
DROP TABLE ai_trading.model_performance;
DROP TABLE ai_trading.signal_performance;
DROP FUNCTION ai_trading.set_model_of_evaluation;
