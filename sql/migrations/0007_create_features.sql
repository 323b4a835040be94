-- What models see: vectors of features, partitioned by time, so that retention drops tables and deletes next to nothing.

-- migrate:up
CREATE TABLE ai_trading.feature_data (
  feature_id        UUID NOT NULL DEFAULT gen_random_uuid(),
  symbol            VARCHAR COLLATE "C" NOT NULL,
  timestamp         TIMESTAMPTZ NOT NULL,
  feature_set_name  VARCHAR COLLATE "C" NOT NULL,
  features          JSONB NOT NULL,
  raw_data_hash     VARCHAR NOT NULL,
  extraction_method VARCHAR NOT NULL DEFAULT '',
  created_at        TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (feature_id, timestamp),
  CONSTRAINT symbol_feature_set_name_and_timestamp_are_unique UNIQUE (symbol, feature_set_name, timestamp),
  CONSTRAINT symbol_has_1_to_32_characters CHECK (char_length(symbol) BETWEEN 1 AND 32),
  CONSTRAINT feature_set_name_has_1_to_50_characters CHECK (char_length(feature_set_name) BETWEEN 1 AND 50),
  CONSTRAINT features_has_at_most_64_kib CHECK (octet_length(features::text) <= 65536),
  CONSTRAINT raw_data_hash_has_64_lowercase_hexadecimal_digits CHECK (raw_data_hash ~ '^[0-9a-f]{64}$'),
  CONSTRAINT extraction_method_has_at_most_50_characters CHECK (char_length(extraction_method) <= 50)
) PARTITION BY RANGE (timestamp);

CREATE INDEX idx_feature_data_symbol_time ON ai_trading.feature_data (symbol, timestamp DESC);
CREATE INDEX idx_feature_data_set_time ON ai_trading.feature_data (feature_set_name, timestamp DESC, symbol DESC);
CREATE INDEX idx_feature_data_created ON ai_trading.feature_data USING brin (created_at) WITH (autosummarize = on);

-- Takes what no other partition does: no write is refused for its time.
CREATE TABLE ai_trading.feature_data_default PARTITION OF ai_trading.feature_data DEFAULT;

-- A vector as the message FeatureVector has it. The planner inlines it.
CREATE FUNCTION ai_trading.feature_vector_message(f ai_trading.feature_data) RETURNS TABLE (
  symbol TEXT, event_time TIMESTAMPTZ, feature_set_name TEXT, features JSONB, raw_data_hash TEXT,
  extraction_method TEXT, create_time TIMESTAMPTZ
) LANGUAGE sql STABLE AS $$
  SELECT
    f.symbol::text, f.timestamp, f.feature_set_name::text, f.features, f.raw_data_hash::text,
    f.extraction_method::text, f.created_at
$$;

-- Makes the partitions of this month and the next, moves into them what the default partition has of theirs, and returns
-- how many it made. One replica at a time does it.
--
-- The table is locked from when the new one is ready until it is attached, which takes as long as to scan the default
-- partition twice: with less, a reader could look for rows where they were, and a writer be refused. Who reads or writes
-- for longer than lock_timeout is not waited for: nothing is made, the call fails, and the next one tries again.
CREATE FUNCTION ai_trading.make_feature_partitions() RETURNS INTEGER
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '200ms'
AS $$
DECLARE
  first TIMESTAMPTZ;
  name TEXT;
  count INTEGER := 0;
BEGIN
  IF NOT pg_try_advisory_xact_lock(4711001, 7) THEN
    RETURN 0;
  END IF;
  FOR number IN 0 .. 1 LOOP
    first := date_trunc('month', clock_timestamp()) + number * INTERVAL '1 month';
    name := 'feature_data_' || to_char(first, 'YYYY_MM');
    CONTINUE WHEN to_regclass(format('ai_trading.%I', name)) IS NOT NULL;
    EXECUTE format('CREATE TABLE ai_trading.%I (LIKE ai_trading.feature_data INCLUDING ALL)', name);
    LOCK TABLE ai_trading.feature_data IN ACCESS EXCLUSIVE MODE;
    EXECUTE format(
      'WITH moved AS (
         DELETE FROM ai_trading.feature_data_default AS f WHERE f.timestamp >= $1 AND f.timestamp < $2 RETURNING f.*
       )
       INSERT INTO ai_trading.%I SELECT * FROM moved', name
    ) USING first, first + INTERVAL '1 month';
    EXECUTE format(
      'ALTER TABLE ai_trading.feature_data ATTACH PARTITION ai_trading.%I FOR VALUES FROM (%L) TO (%L)',
      name, first, first + INTERVAL '1 month'
    );
    count := count + 1;
  END LOOP;
  RETURN count;
END
$$;

-- Removes the vectors whose time is past the retention, and that were put before it too, and returns how many they were.
-- A partition goes as a whole once all of it is past, and counts for as many rows as PostgreSQL estimates if these are
-- more than ten million; rows are deleted from the default partition, and from one in which somebody put the past lately,
-- 100,000 of each in a call.
--
-- To drop a partition locks the table for a moment, as the last thing. Who reads or writes for longer than lock_timeout
-- is not waited for: the call fails, having changed nothing, and may be repeated.
CREATE FUNCTION ai_trading.cleanup_old_feature_data(retention_days INTEGER DEFAULT 90) RETURNS INTEGER
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '200ms'
AS $$
DECLARE
  moment CONSTANT TIMESTAMPTZ := clock_timestamp() - make_interval(days => retention_days);
  partition TEXT;
  past TEXT[] := '{}';
  kept BOOLEAN;
  estimate BIGINT;
  count BIGINT;
  removed BIGINT := 0;
BEGIN
  IF retention_days < 0 THEN
    RAISE EXCEPTION 'retention_days is negative' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF NOT pg_try_advisory_xact_lock(4711001, 7) THEN
    RETURN 0;
  END IF;
  FOR partition, kept, estimate IN
    SELECT format('ai_trading.%I', c.relname), b.bound = 'DEFAULT', c.reltuples
    FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid,
      pg_get_expr(c.relpartbound, c.oid) AS b (bound)
    WHERE i.inhparent = 'ai_trading.feature_data'::regclass
      AND (b.bound = 'DEFAULT' OR substring(b.bound FROM 'TO \(''(.*)''\)')::TIMESTAMPTZ <= moment)
  LOOP
    IF NOT kept THEN
      -- Nobody puts the past into it between the look and the drop.
      EXECUTE format('LOCK TABLE %s IN SHARE MODE', partition);
      EXECUTE format('SELECT EXISTS (SELECT FROM %s AS f WHERE f.created_at >= $1)', partition) INTO kept USING moment;
    END IF;
    IF kept THEN
      EXECUTE format(
        'DELETE FROM %1$s WHERE ctid = ANY (ARRAY(
           SELECT f.ctid FROM %1$s AS f WHERE f.timestamp < $1 AND f.created_at < $1 LIMIT 100000
         ))', partition
      ) USING moment;
      GET DIAGNOSTICS count = ROW_COUNT;
    ELSE
      count := estimate;
      IF estimate < 10000000 THEN
        EXECUTE format('SELECT count(*) FROM %s', partition) INTO count;
      END IF;
      past := past || partition;
    END IF;
    removed := removed + count;
  END LOOP;
  IF past <> '{}' THEN
    EXECUTE 'DROP TABLE ' || array_to_string(past, ', ');
  END IF;
  RETURN removed;
END
$$;

GRANT SELECT, INSERT, UPDATE ON ai_trading.feature_data TO ai_trading_service;
REVOKE ALL ON FUNCTION ai_trading.feature_vector_message, ai_trading.make_feature_partitions,
  ai_trading.cleanup_old_feature_data FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai_trading.feature_vector_message, ai_trading.make_feature_partitions,
  ai_trading.cleanup_old_feature_data TO ai_trading_service;

-- migrate:down
DROP FUNCTION ai_trading.cleanup_old_feature_data;
DROP FUNCTION ai_trading.make_feature_partitions;
DROP FUNCTION ai_trading.feature_vector_message;
DROP TABLE ai_trading.feature_data;
