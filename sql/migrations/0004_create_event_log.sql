-- The second log: what happens to everything but signals, for those who subscribe to it.

-- migrate:up
CREATE TABLE ai_trading.event_log (
  sequence    BIGINT PRIMARY KEY,
  topic       VARCHAR(20) NOT NULL,
  kind        VARCHAR(10) NOT NULL,
  commit_time TIMESTAMPTZ NOT NULL,
  content     JSONB NOT NULL,
  CONSTRAINT topic_is_known CHECK (topic IN ('ANOMALY', 'GENERATION', 'PERFORMANCE')),
  CONSTRAINT event_kind_is_known CHECK (kind IN ('RECORDED', 'REPORTED', 'RESOLVED')),
  -- Deeper JSON comes from SQL only, and neither Python nor protobuf would read it.
  CONSTRAINT content_is_nested_at_most_24_levels_deep CHECK (NOT jsonb_path_exists(content, '$.**{25 to last}'))
);

COMMENT ON COLUMN ai_trading.event_log.content IS 'The message about the row, as it was when this happened.';

CREATE TABLE ai_trading.event_log_meta (
  one_row BOOLEAN PRIMARY KEY DEFAULT TRUE,
  epoch   UUID NOT NULL DEFAULT gen_random_uuid(),
  floor   BIGINT NOT NULL DEFAULT 0,
  CONSTRAINT there_is_one_row CHECK (one_row)
);

INSERT INTO ai_trading.event_log_meta DEFAULT VALUES;

-- As signal_log_head.
CREATE FUNCTION ai_trading.event_log_head(OUT sequence BIGINT, OUT commit_time TIMESTAMPTZ)
LANGUAGE sql STABLE AS $$
  SELECT coalesce(last.sequence, meta.floor), greatest(last.commit_time, clock_timestamp())
  FROM ai_trading.event_log_meta AS meta
  LEFT JOIN (SELECT l.sequence, l.commit_time FROM ai_trading.event_log AS l ORDER BY l.sequence DESC LIMIT 1) AS last
    ON TRUE
$$;

-- Logs what happened to a row: for constraint triggers that are INITIALLY DEFERRED, with the arguments topic, kind, the
-- function that makes the message of a row, and the column of its key if the table keeps the sequence.
--
-- It runs at the very end of a transaction, whoever's it is, so the lock is held for the commit alone; who holds it waits
-- for nobody, for the rows that it writes are the transaction's own. Each statement of it has a snapshot of its own: the
-- head is read after the lock is held, when all that the former holder committed is seen. A transaction with one snapshot
-- for all, REPEATABLE READ or stricter, does not see it: then ON CONFLICT fails as such transactions do when they are to be
-- repeated, with a serialization failure.
CREATE FUNCTION ai_trading.log_event() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET extra_float_digits = 1
-- A session keeps the plan that it made when the log was empty.
SET enable_seqscan = off
AS $$
DECLARE
  head BIGINT;
  now TIMESTAMPTZ;
  content JSONB;
BEGIN
  EXECUTE format('SELECT to_jsonb(m) FROM ai_trading.%I($1) AS m', TG_ARGV[2]) INTO content USING NEW;
  PERFORM pg_advisory_xact_lock(4711001, 3);
  SELECT h.sequence, h.commit_time INTO head, now FROM ai_trading.event_log_head() AS h;
  INSERT INTO ai_trading.event_log VALUES (head + 1, TG_ARGV[0], TG_ARGV[1], now, content)
  ON CONFLICT (sequence) DO NOTHING;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'event % is there already', head + 1 USING ERRCODE = 'serialization_failure';
  END IF;
  IF TG_NARGS > 3 THEN
    EXECUTE format('UPDATE ai_trading.%I SET sequence = $1 WHERE %I = $2', TG_TABLE_NAME, TG_ARGV[3])
    USING head + 1, (content ->> TG_ARGV[3])::UUID;
  END IF;
  RETURN NULL;
END
$$;

-- Removes the events that are older than the moment, and raises the floor. What they are about stays.
CREATE FUNCTION ai_trading.trim_event_log(moment TIMESTAMPTZ) RETURNS BIGINT
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  count BIGINT;
BEGIN
  UPDATE ai_trading.event_log_meta AS m SET floor = last.sequence
  FROM (SELECT max(l.sequence) AS sequence FROM ai_trading.event_log AS l WHERE l.commit_time <= moment) AS last
  WHERE last.sequence > m.floor;
  DELETE FROM ai_trading.event_log AS l USING ai_trading.event_log_meta AS m WHERE l.sequence <= m.floor;
  GET DIAGNOSTICS count = ROW_COUNT;
  RETURN count;
END
$$;

REVOKE ALL ON FUNCTION ai_trading.event_log_head, ai_trading.log_event, ai_trading.trim_event_log FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai_trading.event_log_head TO ai_trading_service;
GRANT SELECT ON ai_trading.event_log, ai_trading.event_log_meta TO ai_trading_service;

-- migrate:down
DROP FUNCTION ai_trading.trim_event_log;
DROP FUNCTION ai_trading.log_event;
DROP FUNCTION ai_trading.event_log_head;
DROP TABLE ai_trading.event_log_meta;
DROP TABLE ai_trading.event_log;
