-- What SQL writes past the service is held to what the service can read, and upkeep and records to bounds of their own.

-- migrate:up
-- One row that is no message would keep a list from everybody.
ALTER TABLE ai_trading.training_sessions
  ADD CONSTRAINT hyperparameters_is_an_object CHECK (jsonb_typeof(hyperparameters) = 'object') NOT VALID,
  ADD CONSTRAINT training_metrics_is_an_object CHECK (jsonb_typeof(training_metrics) = 'object') NOT VALID,
  ADD CONSTRAINT final_performance_is_an_object CHECK (jsonb_typeof(final_performance) = 'object') NOT VALID;
ALTER TABLE ai_trading.optimization_runs
  ADD CONSTRAINT parameter_ranges_is_an_object CHECK (jsonb_typeof(parameter_ranges) = 'object') NOT VALID,
  ADD CONSTRAINT best_individual_is_an_object CHECK (jsonb_typeof(best_individual) = 'object') NOT VALID,
  ADD CONSTRAINT convergence_data_is_an_object CHECK (jsonb_typeof(convergence_data) = 'object') NOT VALID;
ALTER TABLE ai_trading.optimization_generations
  ADD CONSTRAINT best_individual_is_an_object CHECK (jsonb_typeof(best_individual) = 'object') NOT VALID;
ALTER TABLE ai_trading.optimization_individuals
  ADD CONSTRAINT genes_is_an_object CHECK (jsonb_typeof(genes) = 'object') NOT VALID,
  ADD CONSTRAINT objectives_is_an_object CHECK (jsonb_typeof(objectives) = 'object') NOT VALID;
ALTER TABLE ai_trading.feature_data
  ADD CONSTRAINT features_is_an_object CHECK (jsonb_typeof(features) = 'object');
ALTER TABLE ai_trading.optimization_runs
  ADD CONSTRAINT final_population_is_an_array CHECK (jsonb_typeof(final_population) = 'array') NOT VALID;
ALTER TABLE ai_trading.rl_episodes
  ADD CONSTRAINT actions_taken_is_an_array_of_numbers
    CHECK (NOT jsonb_path_exists(actions_taken, '$[*] ? (@.type() != "number")')) NOT VALID,
  ADD CONSTRAINT rewards_is_an_array_of_numbers
    CHECK (NOT jsonb_path_exists(rewards, '$[*] ? (@.type() != "number")')) NOT VALID;
ALTER TABLE ai_trading.spectrum_analysis
  ADD CONSTRAINT analysis_time_is_from_the_year_1_to_9999
    CHECK (analysis_timestamp >= '0001-01-01 00:00Z' AND analysis_timestamp < '10000-01-01 00:00Z') NOT VALID;
ALTER TABLE ai_trading.signal_performance
  ADD CONSTRAINT evaluation_time_is_from_the_year_1_to_9999
    CHECK (evaluation_timestamp >= '0001-01-01 00:00Z' AND evaluation_timestamp < '10000-01-01 00:00Z') NOT VALID;
ALTER TABLE ai_trading.feature_data
  ADD CONSTRAINT event_time_is_from_the_year_1_to_9999
    CHECK (timestamp >= '0001-01-01 00:00Z' AND timestamp < '10000-01-01 00:00Z');

-- Ids are made by callers, or else here.
ALTER TABLE ai_trading.training_sessions ALTER session_id SET DEFAULT gen_random_uuid();
ALTER TABLE ai_trading.optimization_runs ALTER run_id SET DEFAULT gen_random_uuid();
ALTER TABLE ai_trading.spectrum_analysis ALTER analysis_id SET DEFAULT gen_random_uuid();

-- A repetition locks the row that is there, which takes the right to update its key, and no more.
REVOKE UPDATE ON ai_trading.rl_episodes, ai_trading.spectrum_analysis FROM ai_trading_service;
GRANT UPDATE (session_id) ON ai_trading.rl_episodes TO ai_trading_service;
GRANT UPDATE (analysis_id) ON ai_trading.spectrum_analysis TO ai_trading_service;

-- A range of days as the message Period has it: JSON has dates in ISO 8601, whatever the session's DateStyle.
CREATE OR REPLACE FUNCTION ai_trading.period_message(days DATERANGE) RETURNS JSONB
LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object('start_date', lower(days), 'end_date', upper(days)) WHERE days IS NOT NULL
$$;

-- As that of sessions: no index has heartbeat_at, so that heartbeats need not touch any.
DROP INDEX ai_trading.idx_optimization_runs_active;
CREATE INDEX idx_optimization_runs_active ON ai_trading.optimization_runs (start_time DESC, run_id DESC)
  WHERE status = 'running';

-- Not with the run first, or lists might be read by it, and sorted.
CREATE INDEX idx_optimization_individuals_genes
  ON ai_trading.optimization_individuals (fitness_score, jsonb_hash_extended(genes, 0), run_id) WHERE is_new;

-- Records a generation of a running run with its individuals, ranks them, and keeps the best of the run. Returns no row
-- if there is no such run; else RECORDED, DUPLICATE, DIFFERS if the generation is there with other content, or ENDED.
--
-- It looks by key: a plan that was made while the tables were empty would otherwise scan them until the next ANALYZE.
CREATE OR REPLACE FUNCTION ai_trading.record_generation(
  run UUID, number INTEGER, best DOUBLE PRECISION, average DOUBLE PRECISION, diversity DOUBLE PRECISION,
  best_genes JSONB, genes JSONB[], fitness_scores DOUBLE PRECISION[], objectives JSONB[]
) RETURNS TABLE (outcome TEXT, stop_requested BOOLEAN)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
-- The hash is of the texts of numbers.
SET extra_float_digits = 1
AS $$
DECLARE
  r ai_trading.optimization_runs;
  hash BYTEA := sha256(convert_to(
    ROW(best, average, diversity, best_genes, genes, fitness_scores, objectives)::text, 'UTF8'
  ));
  recorded BYTEA;
  sign INTEGER;
BEGIN
  SELECT * INTO r FROM ai_trading.optimization_runs AS o WHERE o.run_id = run FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT g.content_hash INTO recorded
  FROM ai_trading.optimization_generations AS g WHERE g.run_id = run AND g.generation = number;
  IF FOUND OR r.status <> 'running' THEN
    RETURN QUERY SELECT
      CASE WHEN recorded = hash THEN 'DUPLICATE' WHEN recorded <> hash THEN 'DIFFERS' ELSE 'ENDED' END, r.stop_requested;
    RETURN;
  END IF;
  sign := CASE r.direction WHEN 'MAXIMIZE' THEN 1 ELSE -1 END;

  INSERT INTO ai_trading.optimization_individuals (
    run_id, generation, individual_rank, genes, fitness_score, objectives, is_new
  )
  SELECT
    run, number, row_number() OVER (ORDER BY sign * i.fitness_score DESC, i.place), i.genes, i.fitness_score,
    i.objectives,
    -- By fitness and genes, for many may have one of them in common. Not by EXISTS, which may be planned as a hash of all
    -- individuals of the run.
    row_number() OVER (PARTITION BY i.fitness_score, i.genes ORDER BY i.place) = 1 AND (
      SELECT former.individual_id
      FROM ai_trading.optimization_individuals AS former
      WHERE former.run_id = run AND former.is_new AND former.fitness_score = i.fitness_score
        AND jsonb_hash_extended(former.genes, 0) = jsonb_hash_extended(i.genes, 0) AND former.genes = i.genes
      LIMIT 1
    ) IS NULL
  FROM unnest(genes, fitness_scores, objectives) WITH ORDINALITY AS i (genes, fitness_score, objectives, place);

  IF best IS NULL AND best_genes IS NULL THEN
    SELECT i.fitness_score, i.genes INTO best, best_genes
    FROM ai_trading.optimization_individuals AS i
    WHERE i.run_id = run AND i.generation = number AND i.individual_rank = 1;
  END IF;
  INSERT INTO ai_trading.optimization_generations
  SELECT
    run, number, best,
    -- Doubles would overflow in the sum, or underflow in the mean.
    coalesce(average, round(avg(i.fitness_score::text::numeric), 320)::double precision),
    coalesce(diversity, count(DISTINCT i.genes) / nullif(count(*), 0)::double precision),
    best_genes, count(i.genes), hash
  FROM unnest(genes, fitness_scores) AS i (genes, fitness_score);

  IF sign * best <= sign * r.best_fitness THEN
    best := r.best_fitness;
    best_genes := r.best_individual;
  END IF;
  UPDATE ai_trading.optimization_runs AS o
  SET heartbeat_at = clock_timestamp(), best_fitness = best, best_individual = best_genes
  WHERE o.run_id = run;
  RETURN QUERY SELECT 'RECORDED', r.stop_requested;
END
$$;

-- Makes the partitions of this month and the next, moves into them what the default partition has of theirs, and returns
-- how many it made. A month that has another partition, made by hand, needs none. One replica at a time does it.
--
-- The table is locked from when the new one is ready until it is attached, which takes as long as to scan the default
-- partition twice: with less, a reader could look for rows where they were, and a writer be refused. Who reads or writes
-- for longer than lock_timeout is not waited for: nothing is made, the call fails, and the next one tries again.
CREATE OR REPLACE FUNCTION ai_trading.make_feature_partitions() RETURNS INTEGER
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
    CONTINUE WHEN to_regclass(format('ai_trading.%I', name)) IS NOT NULL OR EXISTS (
      SELECT FROM pg_inherits AS i
      JOIN pg_class AS c ON c.oid = i.inhrelid,
        pg_get_expr(c.relpartbound, c.oid) AS b (bound)
      WHERE i.inhparent = 'ai_trading.feature_data'::regclass AND b.bound <> 'DEFAULT'
        AND coalesce(substring(b.bound FROM 'FROM \(''(.*?)''\)')::TIMESTAMPTZ, '-infinity') < first + INTERVAL '1 month'
        AND coalesce(substring(b.bound FROM 'TO \(''(.*)''\)')::TIMESTAMPTZ, 'infinity') > first
    );
    IF pg_relation_size('ai_trading.feature_data_default') > 1024 ^ 3 THEN
      RAISE EXCEPTION 'feature_data_default has more than 1 GiB, and would be locked for long: attach % by hand', name
        USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
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
CREATE OR REPLACE FUNCTION ai_trading.cleanup_old_feature_data(retention_days INTEGER DEFAULT 90) RETURNS INTEGER
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
         )) AND timestamp < $1 AND created_at < $1', partition
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
  RETURN least(removed, 2147483647);
END
$$;

-- migrate:down
-- Removes the vectors whose time is past the retention, and that were put before it too, and returns how many they were.
-- A partition goes as a whole once all of it is past, and counts for as many rows as PostgreSQL estimates if these are
-- more than ten million; rows are deleted from the default partition, and from one in which somebody put the past lately,
-- 100,000 of each in a call.
--
-- To drop a partition locks the table for a moment, as the last thing. Who reads or writes for longer than lock_timeout
-- is not waited for: the call fails, having changed nothing, and may be repeated.
CREATE OR REPLACE FUNCTION ai_trading.cleanup_old_feature_data(retention_days INTEGER DEFAULT 90) RETURNS INTEGER
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

-- Makes the partitions of this month and the next, moves into them what the default partition has of theirs, and returns
-- how many it made. One replica at a time does it.
--
-- The table is locked from when the new one is ready until it is attached, which takes as long as to scan the default
-- partition twice: with less, a reader could look for rows where they were, and a writer be refused. Who reads or writes
-- for longer than lock_timeout is not waited for: nothing is made, the call fails, and the next one tries again.
CREATE OR REPLACE FUNCTION ai_trading.make_feature_partitions() RETURNS INTEGER
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

-- Records a generation of a running run with its individuals, ranks them, and keeps the best of the run. Returns no row
-- if there is no such run; else RECORDED, DUPLICATE, DIFFERS if the generation is there with other content, or ENDED.
--
-- It looks by key: a plan that was made while the tables were empty would otherwise scan them until the next ANALYZE.
CREATE OR REPLACE FUNCTION ai_trading.record_generation(
  run UUID, number INTEGER, best DOUBLE PRECISION, average DOUBLE PRECISION, diversity DOUBLE PRECISION,
  best_genes JSONB, genes JSONB[], fitness_scores DOUBLE PRECISION[], objectives JSONB[]
) RETURNS TABLE (outcome TEXT, stop_requested BOOLEAN)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
DECLARE
  r ai_trading.optimization_runs;
  hash BYTEA := sha256(convert_to(
    ROW(best, average, diversity, best_genes, genes, fitness_scores, objectives)::text, 'UTF8'
  ));
  recorded BYTEA;
  sign INTEGER;
BEGIN
  SELECT * INTO r FROM ai_trading.optimization_runs AS o WHERE o.run_id = run FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT g.content_hash INTO recorded
  FROM ai_trading.optimization_generations AS g WHERE g.run_id = run AND g.generation = number;
  IF FOUND OR r.status <> 'running' THEN
    RETURN QUERY SELECT
      CASE WHEN recorded = hash THEN 'DUPLICATE' WHEN recorded <> hash THEN 'DIFFERS' ELSE 'ENDED' END, r.stop_requested;
    RETURN;
  END IF;
  sign := CASE r.direction WHEN 'MAXIMIZE' THEN 1 ELSE -1 END;

  INSERT INTO ai_trading.optimization_individuals (
    run_id, generation, individual_rank, genes, fitness_score, objectives, is_new
  )
  SELECT
    run, number, row_number() OVER (ORDER BY sign * i.fitness_score DESC, i.place), i.genes, i.fitness_score,
    i.objectives,
    -- Not by EXISTS, which may be planned as a hash of all individuals of the run.
    row_number() OVER (PARTITION BY i.fitness_score, i.genes ORDER BY i.place) = 1 AND (
      SELECT former.individual_id
      FROM ai_trading.optimization_individuals AS former
      WHERE former.run_id = run AND former.is_new
        AND former.fitness_score = i.fitness_score AND former.genes = i.genes
      LIMIT 1
    ) IS NULL
  FROM unnest(genes, fitness_scores, objectives) WITH ORDINALITY AS i (genes, fitness_score, objectives, place);

  IF best IS NULL AND best_genes IS NULL THEN
    SELECT i.fitness_score, i.genes INTO best, best_genes
    FROM ai_trading.optimization_individuals AS i
    WHERE i.run_id = run AND i.generation = number AND i.individual_rank = 1;
  END IF;
  INSERT INTO ai_trading.optimization_generations
  SELECT
    run, number, best,
    -- Doubles would overflow in the sum, or underflow in the mean.
    coalesce(average, round(avg(i.fitness_score::text::numeric), 320)::double precision),
    coalesce(diversity, count(DISTINCT i.genes) / nullif(count(*), 0)::double precision),
    best_genes, count(i.genes), hash
  FROM unnest(genes, fitness_scores) AS i (genes, fitness_score);

  IF sign * best <= sign * r.best_fitness THEN
    best := r.best_fitness;
    best_genes := r.best_individual;
  END IF;
  UPDATE ai_trading.optimization_runs AS o
  SET heartbeat_at = clock_timestamp(), best_fitness = best, best_individual = best_genes
  WHERE o.run_id = run;
  RETURN QUERY SELECT 'RECORDED', r.stop_requested;
END
$$;

DROP INDEX ai_trading.idx_optimization_individuals_genes;
DROP INDEX ai_trading.idx_optimization_runs_active;
CREATE INDEX idx_optimization_runs_active ON ai_trading.optimization_runs (heartbeat_at) WHERE status = 'running';

-- A range of days as the message Period has it.
CREATE OR REPLACE FUNCTION ai_trading.period_message(days DATERANGE) RETURNS JSONB
LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object('start_date', lower(days)::text, 'end_date', upper(days)::text) WHERE days IS NOT NULL
$$;

REVOKE UPDATE (session_id) ON ai_trading.rl_episodes FROM ai_trading_service;
REVOKE UPDATE (analysis_id) ON ai_trading.spectrum_analysis FROM ai_trading_service;
GRANT UPDATE ON ai_trading.rl_episodes, ai_trading.spectrum_analysis TO ai_trading_service;

ALTER TABLE ai_trading.training_sessions ALTER session_id DROP DEFAULT;
ALTER TABLE ai_trading.optimization_runs ALTER run_id DROP DEFAULT;
ALTER TABLE ai_trading.spectrum_analysis ALTER analysis_id DROP DEFAULT;

ALTER TABLE ai_trading.training_sessions
  DROP CONSTRAINT hyperparameters_is_an_object,
  DROP CONSTRAINT training_metrics_is_an_object,
  DROP CONSTRAINT final_performance_is_an_object;
ALTER TABLE ai_trading.optimization_runs
  DROP CONSTRAINT parameter_ranges_is_an_object,
  DROP CONSTRAINT best_individual_is_an_object,
  DROP CONSTRAINT convergence_data_is_an_object;
ALTER TABLE ai_trading.optimization_generations
  DROP CONSTRAINT best_individual_is_an_object;
ALTER TABLE ai_trading.optimization_individuals
  DROP CONSTRAINT genes_is_an_object,
  DROP CONSTRAINT objectives_is_an_object;
ALTER TABLE ai_trading.feature_data
  DROP CONSTRAINT features_is_an_object;
ALTER TABLE ai_trading.optimization_runs DROP CONSTRAINT final_population_is_an_array;
ALTER TABLE ai_trading.rl_episodes
  DROP CONSTRAINT actions_taken_is_an_array_of_numbers,
  DROP CONSTRAINT rewards_is_an_array_of_numbers;
ALTER TABLE ai_trading.spectrum_analysis DROP CONSTRAINT analysis_time_is_from_the_year_1_to_9999;
ALTER TABLE ai_trading.signal_performance DROP CONSTRAINT evaluation_time_is_from_the_year_1_to_9999;
ALTER TABLE ai_trading.feature_data DROP CONSTRAINT event_time_is_from_the_year_1_to_9999;
