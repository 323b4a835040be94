-- The signal as it was published, encoded: what replays send, so that nobody has to build it again from the columns.

-- migrate:up
ALTER TABLE ai_trading.ai_signals ADD COLUMN message BYTEA;

COMMENT ON COLUMN ai_trading.ai_signals.message IS
  'The message Signal as it was published; NULL if it was published before this column was there.';

DROP FUNCTION ai_trading.append_signals;

-- Appends the signals of many requests, each request whole or not at all. The arrays hold one element a signal, ordered
-- by request; a signal_id occurs once. Times are microseconds since 1970. Returns one row a signal, in order: where it
-- is, whether it was there before, and why its request was refused if it was its fault.
CREATE FUNCTION ai_trading.append_signals(
  requests INTEGER[], signal_ids UUID[], model_ids UUID[], symbols TEXT[], signal_types TEXT[],
  confidences DOUBLE PRECISION[], price_targets TEXT[], stop_losses TEXT[], take_profits TEXT[],
  reference_prices TEXT[], signal_times BIGINT[], market_data_times BIGINT[], expire_times BIGINT[], metadatas TEXT[],
  pattern_ids BIGINT[], trade_plan_ids BIGINT[],
  messages BYTEA[] DEFAULT NULL
) RETURNS TABLE (log_sequence BIGINT, log_time TIMESTAMPTZ, is_duplicate BOOLEAN, refusal TEXT)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
  head BIGINT;
  now TIMESTAMPTZ;
  epoch CONSTANT TIMESTAMPTZ := TIMESTAMPTZ '1970-01-01 00:00:00+00';
  -- An interval is multiplied in floating point, which holds the seconds and the rest of a time, but not both at once.
  second CONSTANT INTERVAL := INTERVAL '1 second';
  microsecond CONSTANT INTERVAL := INTERVAL '1 microsecond';
BEGIN
  PERFORM ai_trading.lock_signal_log();
  SELECT h.sequence, h.commit_time INTO head, now FROM ai_trading.signal_log_head() AS h;
  RETURN QUERY
  WITH given AS MATERIALIZED (
    SELECT
      g.ordinal, g.request, g.signal_id, g.model_id, g.symbol, g.signal_type,
      g.confidence::DECIMAL(5, 4) AS confidence,
      g.price_target::DECIMAL(15, 6) AS price_target,
      g.stop_loss::DECIMAL(15, 6) AS stop_loss,
      g.take_profit::DECIMAL(15, 6) AS take_profit,
      g.reference_price::DECIMAL(15, 6) AS reference_price,
      epoch + g.signal_time / 1000000 * second + g.signal_time % 1000000 * microsecond AS signal_timestamp,
      epoch + g.market_data_time / 1000000 * second + g.market_data_time % 1000000 * microsecond
        AS market_data_timestamp,
      epoch + g.expire_time / 1000000 * second + g.expire_time % 1000000 * microsecond AS expires_at,
      g.metadata::JSONB AS metadata, g.pattern_id, g.trade_plan_id, g.message
    FROM unnest(
      requests, signal_ids, model_ids, symbols, signal_types, confidences, price_targets, stop_losses, take_profits,
      reference_prices, signal_times, market_data_times, expire_times, metadatas, pattern_ids, trade_plan_ids,
      messages
    ) WITH ORDINALITY AS g (
      request, signal_id, model_id, symbol, signal_type, confidence, price_target, stop_loss, take_profit,
      reference_price, signal_time, market_data_time, expire_time, metadata, pattern_id, trade_plan_id, message,
      ordinal
    )
  ), judged AS MATERIALIZED (
    SELECT
      g.*, old.sequence AS first_sequence, old.created_at AS first_time,
      CASE
        WHEN old.signal_id IS NULL AND m.model_id IS NULL THEN 'MODEL_NOT_FOUND'
        WHEN old.signal_id IS NULL AND NOT m.is_active THEN 'MODEL_INACTIVE'
        -- The trading side may have linked a plan since.
        WHEN old.signal_id IS NOT NULL AND (
          old.model_id, old.symbol, old.signal_type, old.confidence, old.price_target, old.stop_loss, old.take_profit,
          old.reference_price, old.signal_timestamp, old.market_data_timestamp, old.expires_at, old.metadata,
          old.pattern_id, coalesce(g.trade_plan_id, old.trade_plan_id)
        ) IS DISTINCT FROM (
          g.model_id, g.symbol, g.signal_type, g.confidence, g.price_target, g.stop_loss, g.take_profit,
          g.reference_price, g.signal_timestamp, g.market_data_timestamp, g.expires_at, g.metadata,
          g.pattern_id, old.trade_plan_id
        ) THEN 'SIGNAL_EXISTS'
      END AS fault
    FROM given AS g
    LEFT JOIN ai_trading.ai_models AS m ON m.model_id = g.model_id
    LEFT JOIN ai_trading.ai_signals AS old ON old.signal_id = g.signal_id
  ), refused AS MATERIALIZED (
    SELECT coalesce(array_agg(j.request) FILTER (WHERE j.fault IS NOT NULL), '{}') AS requests FROM judged AS j
  ), placed AS MATERIALIZED (
    SELECT j.*, head + count(*) FILTER (WHERE j.is_fresh) OVER (ORDER BY j.ordinal) AS sequence
    FROM (
      SELECT j.*, j.first_sequence IS NULL AND j.request <> ALL (refused.requests) AS is_fresh FROM judged AS j, refused
    ) AS j
  ), stored AS (
    INSERT INTO ai_trading.ai_signals (
      signal_id, model_id, symbol, signal_type, confidence, price_target, stop_loss, take_profit, reference_price,
      signal_timestamp, market_data_timestamp, expires_at, metadata, pattern_id, trade_plan_id, message, sequence,
      created_at, updated_at
    )
    SELECT
      f.signal_id, f.model_id, f.symbol, f.signal_type, f.confidence, f.price_target, f.stop_loss, f.take_profit,
      f.reference_price, f.signal_timestamp, f.market_data_timestamp, f.expires_at, f.metadata, f.pattern_id,
      f.trade_plan_id, f.message, f.sequence, now, now
    FROM placed AS f WHERE f.is_fresh
  ), logged AS (
    INSERT INTO ai_trading.signal_log (sequence, signal_id, kind, commit_time)
    SELECT f.sequence, f.signal_id, 'PUBLISHED', now FROM placed AS f WHERE f.is_fresh
  )
  SELECT coalesce(p.first_sequence, p.sequence), coalesce(p.first_time, now), p.first_sequence IS NOT NULL, p.fault
  FROM placed AS p
  ORDER BY p.ordinal;
END
$$;

REVOKE ALL ON FUNCTION ai_trading.append_signals FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai_trading.append_signals TO ai_trading_service;

-- migrate:down
DROP FUNCTION ai_trading.append_signals;

-- Appends the signals of many requests, each request whole or not at all. The arrays hold one element a signal, ordered
-- by request; a signal_id occurs once. Times are microseconds since 1970. Returns one row a signal, in order: where it
-- is, whether it was there before, and why its request was refused if it was its fault.
CREATE FUNCTION ai_trading.append_signals(
  requests INTEGER[], signal_ids UUID[], model_ids UUID[], symbols TEXT[], signal_types TEXT[],
  confidences DOUBLE PRECISION[], price_targets TEXT[], stop_losses TEXT[], take_profits TEXT[],
  reference_prices TEXT[], signal_times BIGINT[], market_data_times BIGINT[], expire_times BIGINT[], metadatas TEXT[],
  pattern_ids BIGINT[], trade_plan_ids BIGINT[]
) RETURNS TABLE (log_sequence BIGINT, log_time TIMESTAMPTZ, is_duplicate BOOLEAN, refusal TEXT)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
  head BIGINT;
  now TIMESTAMPTZ;
  epoch CONSTANT TIMESTAMPTZ := TIMESTAMPTZ '1970-01-01 00:00:00+00';
  -- An interval is multiplied in floating point, which holds the seconds and the rest of a time, but not both at once.
  second CONSTANT INTERVAL := INTERVAL '1 second';
  microsecond CONSTANT INTERVAL := INTERVAL '1 microsecond';
BEGIN
  PERFORM ai_trading.lock_signal_log();
  SELECT h.sequence, h.commit_time INTO head, now FROM ai_trading.signal_log_head() AS h;
  RETURN QUERY
  WITH given AS MATERIALIZED (
    SELECT
      g.ordinal, g.request, g.signal_id, g.model_id, g.symbol, g.signal_type,
      g.confidence::DECIMAL(5, 4) AS confidence,
      g.price_target::DECIMAL(15, 6) AS price_target,
      g.stop_loss::DECIMAL(15, 6) AS stop_loss,
      g.take_profit::DECIMAL(15, 6) AS take_profit,
      g.reference_price::DECIMAL(15, 6) AS reference_price,
      epoch + g.signal_time / 1000000 * second + g.signal_time % 1000000 * microsecond AS signal_timestamp,
      epoch + g.market_data_time / 1000000 * second + g.market_data_time % 1000000 * microsecond
        AS market_data_timestamp,
      epoch + g.expire_time / 1000000 * second + g.expire_time % 1000000 * microsecond AS expires_at,
      g.metadata::JSONB AS metadata, g.pattern_id, g.trade_plan_id
    FROM unnest(
      requests, signal_ids, model_ids, symbols, signal_types, confidences, price_targets, stop_losses, take_profits,
      reference_prices, signal_times, market_data_times, expire_times, metadatas, pattern_ids, trade_plan_ids
    ) WITH ORDINALITY AS g (
      request, signal_id, model_id, symbol, signal_type, confidence, price_target, stop_loss, take_profit,
      reference_price, signal_time, market_data_time, expire_time, metadata, pattern_id, trade_plan_id, ordinal
    )
  ), judged AS MATERIALIZED (
    SELECT
      g.*, old.sequence AS first_sequence, old.created_at AS first_time,
      CASE
        WHEN old.signal_id IS NULL AND m.model_id IS NULL THEN 'MODEL_NOT_FOUND'
        WHEN old.signal_id IS NULL AND NOT m.is_active THEN 'MODEL_INACTIVE'
        -- The trading side may have linked a plan since.
        WHEN old.signal_id IS NOT NULL AND (
          old.model_id, old.symbol, old.signal_type, old.confidence, old.price_target, old.stop_loss, old.take_profit,
          old.reference_price, old.signal_timestamp, old.market_data_timestamp, old.expires_at, old.metadata,
          old.pattern_id, coalesce(g.trade_plan_id, old.trade_plan_id)
        ) IS DISTINCT FROM (
          g.model_id, g.symbol, g.signal_type, g.confidence, g.price_target, g.stop_loss, g.take_profit,
          g.reference_price, g.signal_timestamp, g.market_data_timestamp, g.expires_at, g.metadata,
          g.pattern_id, old.trade_plan_id
        ) THEN 'SIGNAL_EXISTS'
      END AS fault
    FROM given AS g
    LEFT JOIN ai_trading.ai_models AS m ON m.model_id = g.model_id
    LEFT JOIN ai_trading.ai_signals AS old ON old.signal_id = g.signal_id
  ), refused AS MATERIALIZED (
    SELECT coalesce(array_agg(j.request) FILTER (WHERE j.fault IS NOT NULL), '{}') AS requests FROM judged AS j
  ), placed AS MATERIALIZED (
    SELECT j.*, head + count(*) FILTER (WHERE j.is_fresh) OVER (ORDER BY j.ordinal) AS sequence
    FROM (
      SELECT j.*, j.first_sequence IS NULL AND j.request <> ALL (refused.requests) AS is_fresh FROM judged AS j, refused
    ) AS j
  ), stored AS (
    INSERT INTO ai_trading.ai_signals (
      signal_id, model_id, symbol, signal_type, confidence, price_target, stop_loss, take_profit, reference_price,
      signal_timestamp, market_data_timestamp, expires_at, metadata, pattern_id, trade_plan_id, sequence, created_at,
      updated_at
    )
    SELECT
      f.signal_id, f.model_id, f.symbol, f.signal_type, f.confidence, f.price_target, f.stop_loss, f.take_profit,
      f.reference_price, f.signal_timestamp, f.market_data_timestamp, f.expires_at, f.metadata, f.pattern_id,
      f.trade_plan_id, f.sequence, now, now
    FROM placed AS f WHERE f.is_fresh
  ), logged AS (
    INSERT INTO ai_trading.signal_log (sequence, signal_id, kind, commit_time)
    SELECT f.sequence, f.signal_id, 'PUBLISHED', now FROM placed AS f WHERE f.is_fresh
  )
  SELECT coalesce(p.first_sequence, p.sequence), coalesce(p.first_time, now), p.first_sequence IS NOT NULL, p.fault
  FROM placed AS p
  ORDER BY p.ordinal;
END
$$;

REVOKE ALL ON FUNCTION ai_trading.append_signals FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai_trading.append_signals TO ai_trading_service;

ALTER TABLE ai_trading.ai_signals DROP COLUMN message;
