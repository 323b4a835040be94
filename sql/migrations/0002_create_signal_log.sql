-- Signals, the log of what happened to them, and the functions that are the only way to write either.

-- migrate:up
CREATE TABLE ai_trading.ai_signals (
  signal_id             UUID PRIMARY KEY,
  model_id              UUID NOT NULL REFERENCES ai_trading.ai_models,
  symbol                VARCHAR NOT NULL,
  signal_type           VARCHAR(10) NOT NULL,
  confidence            DECIMAL(5, 4) NOT NULL,
  price_target          DECIMAL(15, 6),
  stop_loss             DECIMAL(15, 6),
  take_profit           DECIMAL(15, 6),
  reference_price       DECIMAL(15, 6),
  signal_timestamp      TIMESTAMPTZ NOT NULL,
  market_data_timestamp TIMESTAMPTZ,
  expires_at            TIMESTAMPTZ,
  metadata              JSONB,
  status                VARCHAR(20) NOT NULL DEFAULT 'ACTIVE',
  pattern_id            BIGINT,
  trade_plan_id         BIGINT,
  sequence              BIGINT NOT NULL,
  end_sequence          BIGINT,
  state_request_id      UUID,
  created_at            TIMESTAMPTZ NOT NULL,
  updated_at            TIMESTAMPTZ NOT NULL,
  CONSTRAINT symbol_has_1_to_32_characters CHECK (char_length(symbol) BETWEEN 1 AND 32),
  CONSTRAINT signal_type_is_known CHECK (signal_type IN ('BUY', 'SELL', 'HOLD')),
  CONSTRAINT confidence_between_0_and_1 CHECK (confidence BETWEEN 0 AND 1),
  CONSTRAINT prices_are_numbers
    CHECK (price_target <> 'NaN' AND stop_loss <> 'NaN' AND take_profit <> 'NaN' AND reference_price <> 'NaN'),
  CONSTRAINT expires_after_signal CHECK (expires_at > signal_timestamp),
  CONSTRAINT status_is_known CHECK (status IN ('ACTIVE', 'EXECUTED', 'CANCELLED', 'EXPIRED'))
);

COMMENT ON COLUMN ai_trading.ai_signals.sequence IS 'Where in signal_log the signal was published; outlives the log row.';
COMMENT ON COLUMN ai_trading.ai_signals.end_sequence IS 'Where in signal_log the signal ended; NULL while it is ACTIVE.';
COMMENT ON COLUMN ai_trading.ai_signals.state_request_id IS 'The request that ended the signal, so that a repetition finds its outcome.';

CREATE INDEX idx_ai_signals_time ON ai_trading.ai_signals (signal_timestamp DESC, signal_id DESC);
CREATE INDEX idx_ai_signals_symbol_time ON ai_trading.ai_signals (symbol, signal_timestamp DESC);
CREATE INDEX idx_ai_signals_model_time ON ai_trading.ai_signals (model_id, signal_timestamp DESC);
CREATE INDEX idx_ai_signals_type_confidence ON ai_trading.ai_signals (signal_type, confidence DESC);
CREATE INDEX idx_ai_signals_model_status ON ai_trading.ai_signals (model_id, status);
CREATE INDEX idx_ai_signals_active ON ai_trading.ai_signals (sequence) WHERE status = 'ACTIVE';
CREATE INDEX idx_ai_signals_active_expiry ON ai_trading.ai_signals (expires_at)
  WHERE status = 'ACTIVE' AND expires_at IS NOT NULL;

-- signal_id has no foreign key: only the functions below write here, signals are permanent, and a check for each row
-- would cost a tenth of the append.
CREATE TABLE ai_trading.signal_log (
  sequence    BIGINT PRIMARY KEY,
  signal_id   UUID NOT NULL,
  kind        VARCHAR(10) NOT NULL,
  commit_time TIMESTAMPTZ NOT NULL,
  CONSTRAINT kind_is_known CHECK (kind IN ('PUBLISHED', 'EXECUTED', 'CANCELLED', 'EXPIRED'))
);

CREATE TABLE ai_trading.log_meta (
  one_row BOOLEAN PRIMARY KEY DEFAULT TRUE,
  epoch   UUID NOT NULL DEFAULT gen_random_uuid(),
  floor   BIGINT NOT NULL DEFAULT 0,
  CONSTRAINT there_is_one_row CHECK (one_row)
);

INSERT INTO ai_trading.log_meta DEFAULT VALUES;

-- A signal as the message Signal has it. The planner inlines it, so it costs what the expressions cost.
CREATE FUNCTION ai_trading.signal_message(s ai_trading.ai_signals) RETURNS TABLE (
  signal_id TEXT, model_id TEXT, symbol TEXT, signal_type TEXT, confidence DOUBLE PRECISION, price_target TEXT,
  stop_loss TEXT, take_profit TEXT, reference_price TEXT, signal_time TIMESTAMPTZ, market_data_time TIMESTAMPTZ,
  expire_time TIMESTAMPTZ, metadata JSONB, state TEXT, pattern_id BIGINT, trade_plan_id BIGINT, create_time TIMESTAMPTZ
) LANGUAGE sql STABLE AS $$
  SELECT
    s.signal_id::text, s.model_id::text, s.symbol::text, 'SIGNAL_TYPE_' || s.signal_type, s.confidence::float8,
    trim_scale(s.price_target)::text, trim_scale(s.stop_loss)::text, trim_scale(s.take_profit)::text,
    trim_scale(s.reference_price)::text, s.signal_timestamp, s.market_data_timestamp, s.expires_at, s.metadata,
    'SIGNAL_STATE_' || s.status, s.pattern_id, s.trade_plan_id, s.created_at
$$;

-- Waits until no other append is under way and returns the head of the log. It must be a statement of its own: in
-- READ COMMITTED the next statement takes a new snapshot, so it sees all that the former holder committed. Called
-- inside a transaction that has written already it would hold the lock across client round trips, so it refuses.
CREATE FUNCTION ai_trading.lock_signal_log() RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
  IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
    RAISE EXCEPTION 'the signal log is written by autocommit calls only' USING ERRCODE = 'active_sql_transaction';
  END IF;
  PERFORM pg_advisory_xact_lock(4711001, 0);
END
$$;

-- A log emptied by retention goes on after its floor. Times never run backwards along the log, whatever the clock does.
CREATE FUNCTION ai_trading.signal_log_head(OUT sequence BIGINT, OUT commit_time TIMESTAMPTZ)
LANGUAGE sql STABLE AS $$
  SELECT coalesce(last.sequence, meta.floor), greatest(last.commit_time, clock_timestamp())
  FROM ai_trading.log_meta AS meta
  LEFT JOIN (SELECT l.sequence, l.commit_time FROM ai_trading.signal_log AS l ORDER BY l.sequence DESC LIMIT 1) AS last
    ON TRUE
$$;

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

-- Ends an ACTIVE signal. Returns the sequence of its end, its state, and whether this request (or its first sending)
-- was the one; no row if there is no such signal.
CREATE FUNCTION ai_trading.end_signal(ended_id UUID, end_state TEXT, request UUID)
RETURNS TABLE (log_sequence BIGINT, state TEXT, won BOOLEAN)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  head BIGINT;
  now TIMESTAMPTZ;
BEGIN
  IF end_state NOT IN ('EXECUTED', 'CANCELLED') THEN
    RAISE EXCEPTION 'a signal ends as EXECUTED or CANCELLED' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM ai_trading.lock_signal_log();
  SELECT h.sequence, h.commit_time INTO head, now FROM ai_trading.signal_log_head() AS h;
  UPDATE ai_trading.ai_signals AS s 
  SET status = end_state, end_sequence = head + 1, state_request_id = request, updated_at = now
  WHERE s.signal_id = ended_id AND s.status = 'ACTIVE';
  IF FOUND THEN
    INSERT INTO ai_trading.signal_log VALUES (head + 1, ended_id, end_state, now);
    RETURN QUERY SELECT head + 1, end_state, TRUE;
  ELSE
    RETURN QUERY
    SELECT s.end_sequence, s.status::TEXT, coalesce(s.state_request_id = request AND s.status = end_state, FALSE)
    FROM ai_trading.ai_signals AS s WHERE s.signal_id = ended_id;
  END IF;
END
$$;

-- Turns up to `most` signals past their expire_time to EXPIRED, the longest past first, and returns the new head of the
-- log; NULL if none was due. One replica at a time does it; the others return NULL.
CREATE FUNCTION ai_trading.expire_signals(most INTEGER) RETURNS BIGINT
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  head BIGINT;
  now TIMESTAMPTZ;
  count BIGINT;
BEGIN
  IF NOT pg_try_advisory_xact_lock(4711001, 1) OR NOT EXISTS (
    SELECT FROM ai_trading.ai_signals AS s
    WHERE s.status = 'ACTIVE' AND s.expires_at IS NOT NULL AND s.expires_at <= clock_timestamp()
  ) THEN
    RETURN NULL;
  END IF;
  PERFORM ai_trading.lock_signal_log();
  SELECT h.sequence, h.commit_time INTO head, now FROM ai_trading.signal_log_head() AS h;
  WITH due AS MATERIALIZED (
    SELECT s.signal_id, head + row_number() OVER (ORDER BY s.expires_at, s.sequence) AS sequence
    FROM ai_trading.ai_signals AS s
    WHERE s.status = 'ACTIVE' AND s.expires_at IS NOT NULL AND s.expires_at <= clock_timestamp()
    ORDER BY s.expires_at, s.sequence
    LIMIT most
  ), ended AS (
    UPDATE ai_trading.ai_signals AS s SET status = 'EXPIRED', end_sequence = due.sequence, updated_at = now
    FROM due WHERE s.signal_id = due.signal_id
  )
  INSERT INTO ai_trading.signal_log (sequence, signal_id, kind, commit_time)
  SELECT due.sequence, due.signal_id, 'EXPIRED', now FROM due;
  GET DIAGNOSTICS count = ROW_COUNT;
  RETURN head + count;
END
$$;

-- The last sequence whose commit_time is not later than the moment; the floor if there is none. Sequences are dense and
-- times never run backwards along them, so a binary search over the primary key needs no index on time.
CREATE FUNCTION ai_trading.signal_log_position(moment TIMESTAMPTZ) RETURNS BIGINT
LANGUAGE plpgsql STABLE AS $$
DECLARE
  low BIGINT;
  high BIGINT;
  middle BIGINT;
BEGIN
  SELECT m.floor, h.sequence INTO low, high FROM ai_trading.log_meta AS m, ai_trading.signal_log_head() AS h;
  WHILE low < high LOOP
    middle := (low + high + 1) / 2;
    IF (SELECT l.commit_time FROM ai_trading.signal_log AS l WHERE l.sequence = middle) <= moment THEN
      low := middle;
    ELSE
      high := middle - 1;
    END IF;
  END LOOP;
  RETURN low;
END
$$;

-- Removes the events up to and including a sequence, and raises the floor to it. The signals stay.
CREATE FUNCTION ai_trading.trim_signal_log(through BIGINT) RETURNS BIGINT
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  count BIGINT;
BEGIN
  UPDATE ai_trading.log_meta SET floor = least(through, h.sequence)
  FROM ai_trading.signal_log_head() AS h WHERE floor < least(through, h.sequence);
  DELETE FROM ai_trading.signal_log AS l USING ai_trading.log_meta AS m WHERE l.sequence <= m.floor;
  GET DIAGNOSTICS count = ROW_COUNT;
  RETURN count;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ai_trading FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai_trading.append_signals, ai_trading.end_signal, ai_trading.expire_signals,
  ai_trading.signal_log_position, ai_trading.signal_log_head, ai_trading.signal_message TO ai_trading_service;
GRANT SELECT ON ai_trading.ai_signals, ai_trading.signal_log, ai_trading.log_meta TO ai_trading_service;

-- migrate:down
DROP FUNCTION ai_trading.trim_signal_log;
DROP FUNCTION ai_trading.signal_log_position;
DROP FUNCTION ai_trading.expire_signals;
DROP FUNCTION ai_trading.end_signal;
DROP FUNCTION ai_trading.append_signals;
DROP FUNCTION ai_trading.signal_log_head;
DROP FUNCTION ai_trading.lock_signal_log;
DROP FUNCTION ai_trading.signal_message;
DROP TABLE ai_trading.log_meta;
DROP TABLE ai_trading.signal_log;
DROP TABLE ai_trading.ai_signals;
