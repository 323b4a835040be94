-- The whole schema, written by `python -m tests.schema` out of the migrations. Not to be edited.

CREATE SCHEMA ai_trading;

CREATE TABLE ai_trading.anomaly_detections (
    anomaly_id uuid DEFAULT gen_random_uuid() NOT NULL,
    model_id uuid NOT NULL,
    symbol character varying NOT NULL,
    detection_timestamp timestamp with time zone,
    anomaly_type character varying NOT NULL,
    severity_score double precision NOT NULL,
    confidence numeric(5,4),
    market_data_context jsonb,
    anomaly_details jsonb,
    resolved boolean DEFAULT false NOT NULL,
    resolution_timestamp timestamp with time zone,
    resolution_note text DEFAULT ''::text NOT NULL,
    sequence bigint,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT an_open_anomaly_has_no_resolution CHECK ((resolved OR ((resolution_timestamp IS NULL) AND (resolution_note = ''::text)))),
    CONSTRAINT anomaly_details_has_at_most_64_kib CHECK ((octet_length((anomaly_details)::text) <= 65536)),
    CONSTRAINT anomaly_details_is_an_object CHECK ((jsonb_typeof(anomaly_details) = 'object'::text)),
    CONSTRAINT anomaly_type_has_1_to_50_characters CHECK (((char_length((anomaly_type)::text) >= 1) AND (char_length((anomaly_type)::text) <= 50))),
    CONSTRAINT confidence_is_between_0_and_1 CHECK (((confidence >= (0)::numeric) AND (confidence <= (1)::numeric))),
    CONSTRAINT detection_time_is_from_the_year_1_to_9999 CHECK (((detection_timestamp >= '0001-01-01 00:00:00+00'::timestamp with time zone) AND (detection_timestamp < '10000-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT detection_time_is_required CHECK ((detection_timestamp IS NOT NULL)),
    CONSTRAINT market_data_context_has_at_most_64_kib CHECK ((octet_length((market_data_context)::text) <= 65536)),
    CONSTRAINT market_data_context_is_an_object CHECK ((jsonb_typeof(market_data_context) = 'object'::text)),
    CONSTRAINT resolution_note_has_at_most_1000_characters CHECK ((char_length(resolution_note) <= 1000)),
    CONSTRAINT resolve_time_is_from_the_year_1_to_9999 CHECK (((resolution_timestamp >= '0001-01-01 00:00:00+00'::timestamp with time zone) AND (resolution_timestamp < '10000-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT severity_score_is_a_number_from_0_on CHECK (((severity_score >= (0)::double precision) AND (severity_score < 'Infinity'::double precision))),
    CONSTRAINT symbol_has_1_to_32_characters CHECK (((char_length((symbol)::text) >= 1) AND (char_length((symbol)::text) <= 32)))
);

COMMENT ON COLUMN ai_trading.anomaly_detections.sequence IS 'Where in event_log the anomaly was reported; outlives the log row.';

CREATE FUNCTION ai_trading.anomaly_message(a ai_trading.anomaly_detections) RETURNS TABLE(anomaly_id text, model_id text, symbol text, detection_time timestamp with time zone, anomaly_type text, severity_score double precision, confidence double precision, market_data_context jsonb, anomaly_details jsonb, resolved boolean, resolve_time timestamp with time zone, resolution_note text, create_time timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
  SELECT
    a.anomaly_id::text, a.model_id::text, a.symbol::text, a.detection_timestamp, a.anomaly_type::text,
    a.severity_score, a.confidence::float8, a.market_data_context, a.anomaly_details,
    a.resolved, a.resolution_timestamp, a.resolution_note, a.created_at
$$;

CREATE FUNCTION ai_trading.append_signals(requests integer[], signal_ids uuid[], model_ids uuid[], symbols text[], signal_types text[], confidences double precision[], price_targets text[], stop_losses text[], take_profits text[], reference_prices text[], signal_times bigint[], market_data_times bigint[], expire_times bigint[], metadatas text[], pattern_ids bigint[], trade_plan_ids bigint[], messages bytea[] DEFAULT NULL::bytea[]) RETURNS TABLE(log_sequence bigint, log_time timestamp with time zone, is_duplicate boolean, refusal text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
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

CREATE FUNCTION ai_trading.append_training_metrics(id uuid, names text[], offsets integer[], pieces jsonb[], facts jsonb) RETURNS TABLE(stop_requested boolean, state text, misfit text, length integer)
    LANGUAGE plpgsql
    AS $$
DECLARE
  session RECORD;
  metrics JSONB;
  series JSONB;
  known INTEGER;
BEGIN
  SELECT s.status, s.stop_requested, s.training_metrics INTO session
  FROM ai_trading.training_sessions AS s WHERE s.session_id = id FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  metrics := coalesce(session.training_metrics, '{}');
  IF session.status = 'running' THEN
    FOR number IN 1 .. cardinality(names) LOOP
      series := coalesce(metrics -> names[number], '[]');
      IF jsonb_typeof(series) <> 'array' THEN
        RETURN QUERY SELECT session.stop_requested, session.status::TEXT, names[number], NULL::INTEGER;
        RETURN;
      END IF;
      -- How much of the piece is there already.
      known := least(jsonb_array_length(series) - offsets[number], jsonb_array_length(pieces[number]));
      IF known < 0 OR EXISTS (
        SELECT FROM generate_series(0, known - 1) AS place
        WHERE series -> (offsets[number] + place) <> pieces[number] -> place
      ) THEN
        RETURN QUERY SELECT session.stop_requested, session.status::TEXT, names[number], jsonb_array_length(series);
        RETURN;
      END IF;
      metrics := metrics || jsonb_build_object(names[number], series || coalesce((
        SELECT jsonb_agg(piece.value ORDER BY piece.place)
        FROM jsonb_array_elements(pieces[number]) WITH ORDINALITY AS piece (value, place) WHERE piece.place > known
      ), '[]'));
    END LOOP;
    IF facts IS NOT NULL THEN
      RETURN QUERY
      SELECT session.stop_requested, session.status::TEXT, fact.name, jsonb_array_length(metrics -> fact.name)
      FROM jsonb_object_keys(facts) AS fact (name)
      WHERE jsonb_typeof(metrics -> fact.name) = 'array'
      ORDER BY fact.name
      LIMIT 1;
      IF FOUND THEN
        RETURN;
      END IF;
    END IF;
    UPDATE ai_trading.training_sessions AS s
    SET training_metrics = metrics || coalesce(facts, '{}'), heartbeat_at = clock_timestamp()
    WHERE s.session_id = id;
  END IF;
  RETURN QUERY SELECT session.stop_requested, session.status::TEXT, NULL::TEXT, NULL::INTEGER;
END
$$;

CREATE FUNCTION ai_trading.cleanup_old_feature_data(retention_days integer DEFAULT 90) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET lock_timeout TO '200ms'
    AS $_$
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
$_$;

CREATE FUNCTION ai_trading.convergence_point_message(run uuid) RETURNS TABLE(generation integer, best_so_far double precision, best_fitness double precision, average_fitness double precision, population_diversity double precision)
    LANGUAGE sql STABLE
    AS $$
  SELECT
    g.generation,
    CASE r.direction
      WHEN 'MAXIMIZE' THEN max(g.best_fitness) OVER past
      ELSE min(g.best_fitness) OVER past
    END,
    g.best_fitness, g.average_fitness, g.population_diversity
  FROM ai_trading.optimization_runs AS r
  JOIN ai_trading.optimization_generations AS g USING (run_id)
  WHERE r.run_id = run
  WINDOW past AS (ORDER BY g.generation)
$$;

CREATE FUNCTION ai_trading.end_signal(ended_id uuid, end_state text, request uuid) RETURNS TABLE(log_sequence bigint, state text, won boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
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

CREATE TABLE ai_trading.rl_episodes (
    episode_id uuid DEFAULT gen_random_uuid() NOT NULL,
    session_id uuid NOT NULL,
    episode_number integer NOT NULL,
    total_reward double precision NOT NULL,
    episode_length integer NOT NULL,
    final_portfolio_value numeric,
    max_drawdown double precision,
    actions_taken jsonb NOT NULL,
    rewards jsonb NOT NULL,
    episode_end_reason character varying DEFAULT ''::character varying NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT actions_taken_has_at_most_100000_elements CHECK ((jsonb_array_length(actions_taken) <= 100000)),
    CONSTRAINT episode_end_reason_has_at_most_50_characters CHECK ((char_length((episode_end_reason)::text) <= 50)),
    CONSTRAINT episode_length_is_not_negative CHECK ((episode_length >= 0)),
    CONSTRAINT episode_number_is_at_least_1 CHECK ((episode_number >= 1)),
    CONSTRAINT final_portfolio_value_has_at_most_9_digits_and_6_decimals CHECK (((abs(final_portfolio_value) < (1000000000)::numeric) AND (final_portfolio_value = round(final_portfolio_value, 6)))),
    CONSTRAINT rewards_has_at_most_100000_elements CHECK ((jsonb_array_length(rewards) <= 100000)),
    CONSTRAINT total_reward_is_a_finite_number CHECK ((abs(total_reward) < 'Infinity'::double precision))
);

CREATE FUNCTION ai_trading.episode_message(e ai_trading.rl_episodes, summary boolean) RETURNS TABLE(session_id text, episode_number integer, total_reward double precision, episode_length integer, final_portfolio_value text, max_drawdown double precision, actions_taken jsonb, rewards jsonb, episode_end_reason text, create_time timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
  SELECT
    e.session_id::text, e.episode_number, e.total_reward, e.episode_length,
    trim_scale(e.final_portfolio_value)::text, e.max_drawdown,
    CASE WHEN NOT summary THEN e.actions_taken END, CASE WHEN NOT summary THEN e.rewards END,
    e.episode_end_reason::text, e.created_at
$$;

CREATE FUNCTION ai_trading.evaluated_signals(model uuid, period daterange) RETURNS TABLE(evaluation_timestamp timestamp with time zone, confidence numeric, signed_return double precision, successful boolean, pnl_if_executed numeric, holding_period_hours double precision)
    LANGUAGE sql STABLE
    AS $$
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

CREATE TABLE ai_trading.signal_performance (
    performance_id uuid DEFAULT gen_random_uuid() NOT NULL,
    signal_id uuid NOT NULL,
    model_id uuid,
    evaluation_timestamp timestamp with time zone,
    actual_price numeric NOT NULL,
    price_change_pct double precision NOT NULL,
    target_hit boolean DEFAULT false NOT NULL,
    stop_loss_hit boolean DEFAULT false NOT NULL,
    holding_period_hours double precision,
    pnl_if_executed numeric,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT actual_price_has_at_most_9_digits_and_6_decimals CHECK (((abs(actual_price) < (1000000000)::numeric) AND (actual_price = round(actual_price, 6)))),
    CONSTRAINT evaluation_time_is_required CHECK ((evaluation_timestamp IS NOT NULL)),
    CONSTRAINT holding_period_hours_is_from_0_to_1e9 CHECK (((holding_period_hours >= (0)::double precision) AND (holding_period_hours <= ('1000000000'::numeric)::double precision))),
    CONSTRAINT pnl_if_executed_has_at_most_15_digits_and_6_decimals CHECK (((abs(pnl_if_executed) < ('1000000000000000'::bigint)::numeric) AND (pnl_if_executed = round(pnl_if_executed, 6)))),
    CONSTRAINT price_change_pct_is_0_or_of_a_size_from_1e_minus_20_to_1e20 CHECK (((price_change_pct = (0)::double precision) OR ((abs(price_change_pct) >= (0.00000000000000000001)::double precision) AND (abs(price_change_pct) <= ('100000000000000000000'::numeric)::double precision))))
);

COMMENT ON COLUMN ai_trading.signal_performance.model_id IS 'That of the signal, put here by a trigger so that an index finds the evaluations of a model.';

CREATE FUNCTION ai_trading.evaluation_message(p ai_trading.signal_performance) RETURNS TABLE(performance_id text, signal_id text, evaluation_time timestamp with time zone, actual_price text, price_change_pct double precision, target_hit boolean, stop_loss_hit boolean, holding_period_hours double precision, pnl_if_executed text, create_time timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
  SELECT
    p.performance_id::text, p.signal_id::text, p.evaluation_timestamp, trim_scale(p.actual_price)::text,
    p.price_change_pct, p.target_hit, p.stop_loss_hit, p.holding_period_hours, trim_scale(p.pnl_if_executed)::text,
    p.created_at
$$;

CREATE FUNCTION ai_trading.event_log_head(OUT sequence bigint, OUT commit_time timestamp with time zone) RETURNS record
    LANGUAGE sql STABLE
    AS $$
  SELECT coalesce(last.sequence, meta.floor), greatest(last.commit_time, clock_timestamp())
  FROM ai_trading.event_log_meta AS meta
  LEFT JOIN (SELECT l.sequence, l.commit_time FROM ai_trading.event_log AS l ORDER BY l.sequence DESC LIMIT 1) AS last
    ON TRUE
$$;

CREATE FUNCTION ai_trading.expire_signals(most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
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

CREATE FUNCTION ai_trading.fail_silent_runs() RETURNS bigint
    LANGUAGE sql
    AS $$
  WITH failed AS (
    UPDATE ai_trading.optimization_runs AS r
    SET status = 'failed', end_time = clock_timestamp(),
      error_message = format('heartbeat lost: none for %s s', extract(epoch FROM r.heartbeat_timeout)::DOUBLE PRECISION)
    WHERE r.run_id IN (
      SELECT silent.run_id FROM ai_trading.optimization_runs AS silent
      WHERE silent.status = 'running'
        AND greatest(silent.heartbeat_at, pg_postmaster_start_time()) + silent.heartbeat_timeout < clock_timestamp()
      FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING r.run_id
  )
  SELECT count(*) FROM failed
$$;

CREATE FUNCTION ai_trading.fail_silent_sessions() RETURNS bigint
    LANGUAGE sql
    AS $$
  WITH failed AS (
    UPDATE ai_trading.training_sessions AS s
    SET status = 'failed', end_time = clock_timestamp(),
      error_message = format('heartbeat lost: none for %s s', extract(epoch FROM s.heartbeat_timeout)::DOUBLE PRECISION)
    WHERE s.session_id IN (
      SELECT silent.session_id FROM ai_trading.training_sessions AS silent
      WHERE silent.status = 'running'
        AND greatest(silent.heartbeat_at, pg_postmaster_start_time()) + silent.heartbeat_timeout < clock_timestamp()
      FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING s.session_id
  )
  SELECT count(*) FROM failed
$$;

CREATE TABLE ai_trading.feature_data (
    feature_id uuid DEFAULT gen_random_uuid() NOT NULL,
    symbol character varying NOT NULL COLLATE pg_catalog."C",
    "timestamp" timestamp with time zone NOT NULL,
    feature_set_name character varying NOT NULL COLLATE pg_catalog."C",
    features jsonb NOT NULL,
    raw_data_hash character varying NOT NULL,
    extraction_method character varying DEFAULT ''::character varying NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT event_time_is_from_the_year_1_to_9999 CHECK ((("timestamp" >= '0001-01-01 00:00:00+00'::timestamp with time zone) AND ("timestamp" < '10000-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT extraction_method_has_at_most_50_characters CHECK ((char_length((extraction_method)::text) <= 50)),
    CONSTRAINT feature_set_name_has_1_to_50_characters CHECK (((char_length((feature_set_name)::text) >= 1) AND (char_length((feature_set_name)::text) <= 50))),
    CONSTRAINT features_has_at_most_64_kib CHECK ((octet_length((features)::text) <= 65536)),
    CONSTRAINT features_is_an_object CHECK ((jsonb_typeof(features) = 'object'::text)),
    CONSTRAINT raw_data_hash_has_64_lowercase_hexadecimal_digits CHECK (((raw_data_hash)::text ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT symbol_has_1_to_32_characters CHECK (((char_length((symbol)::text) >= 1) AND (char_length((symbol)::text) <= 32)))
)
PARTITION BY RANGE ("timestamp");

CREATE FUNCTION ai_trading.feature_vector_message(f ai_trading.feature_data) RETURNS TABLE(symbol text, event_time timestamp with time zone, feature_set_name text, features jsonb, raw_data_hash text, extraction_method text, create_time timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
  SELECT
    f.symbol::text, f.timestamp, f.feature_set_name::text, f.features, f.raw_data_hash::text,
    f.extraction_method::text, f.created_at
$$;

CREATE TABLE ai_trading.optimization_generations (
    run_id uuid NOT NULL,
    generation integer NOT NULL,
    best_fitness double precision NOT NULL,
    average_fitness double precision,
    population_diversity double precision,
    best_individual jsonb,
    individual_count integer NOT NULL,
    content_hash bytea NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT average_fitness_is_a_finite_number CHECK ((abs(average_fitness) < 'Infinity'::double precision)),
    CONSTRAINT best_fitness_is_a_finite_number CHECK ((abs(best_fitness) < 'Infinity'::double precision)),
    CONSTRAINT best_individual_has_at_most_64_kib CHECK ((octet_length((best_individual)::text) <= 65536)),
    CONSTRAINT generation_is_not_negative CHECK ((generation >= 0)),
    CONSTRAINT population_diversity_is_a_finite_number_and_not_negative CHECK (((population_diversity >= (0)::double precision) AND (population_diversity < 'Infinity'::double precision)))
);

COMMENT ON COLUMN ai_trading.optimization_generations.content_hash IS 'SHA-256 of what was sent, individuals and all: it tells a repetition from another generation of the same number.';

CREATE FUNCTION ai_trading.generation_message(g ai_trading.optimization_generations) RETURNS TABLE(run_id text, model_id text, generation integer, best_fitness double precision, average_fitness double precision, population_diversity double precision, best_individual jsonb, individual_count integer, create_time timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
  SELECT
    g.run_id::text, r.model_id::text, g.generation, g.best_fitness, g.average_fitness, g.population_diversity,
    g.best_individual, g.individual_count, g.created_at
  FROM ai_trading.optimization_runs AS r
  WHERE r.run_id = g.run_id
$$;

CREATE TABLE ai_trading.optimization_individuals (
    individual_id uuid DEFAULT gen_random_uuid() NOT NULL,
    run_id uuid NOT NULL,
    generation integer NOT NULL,
    individual_rank integer NOT NULL,
    genes jsonb NOT NULL,
    fitness_score double precision NOT NULL,
    objectives jsonb,
    is_new boolean NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT fitness_score_is_a_finite_number CHECK ((abs(fitness_score) < 'Infinity'::double precision)),
    CONSTRAINT genes_has_at_most_64_kib CHECK ((octet_length((genes)::text) <= 65536)),
    CONSTRAINT individual_rank_is_at_least_1 CHECK ((individual_rank >= 1)),
    CONSTRAINT objectives_has_at_most_64_kib CHECK ((octet_length((objectives)::text) <= 65536))
);

COMMENT ON COLUMN ai_trading.optimization_individuals.is_new IS 'Whether the run had no individual with the same genes and fitness before.';

CREATE FUNCTION ai_trading.individual_message(i ai_trading.optimization_individuals) RETURNS TABLE(genes jsonb, fitness_score double precision, objectives jsonb, generation integer, individual_rank integer, create_time timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
  SELECT i.genes, i.fitness_score, i.objectives, i.generation, i.individual_rank, i.created_at
$$;

CREATE FUNCTION ai_trading.lock_signal_log() RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
    RAISE EXCEPTION 'the signal log is written by autocommit calls only' USING ERRCODE = 'active_sql_transaction';
  END IF;
  PERFORM pg_advisory_xact_lock(4711001, 0);
END
$$;

CREATE FUNCTION ai_trading.log_event() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET extra_float_digits TO '1'
    SET enable_seqscan TO 'off'
    AS $_$
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
$_$;

CREATE FUNCTION ai_trading.make_feature_partitions() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET lock_timeout TO '200ms'
    AS $_$
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
$_$;

CREATE TABLE ai_trading.ai_models (
    model_id uuid DEFAULT gen_random_uuid() NOT NULL,
    model_name character varying NOT NULL,
    model_type character varying NOT NULL,
    model_subtype character varying DEFAULT ''::character varying NOT NULL,
    version character varying NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    configuration jsonb,
    performance_metrics jsonb,
    is_active boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT configuration_has_at_most_64_kib CHECK ((octet_length((configuration)::text) <= 65536)),
    CONSTRAINT description_has_at_most_10000_characters CHECK ((char_length(description) <= 10000)),
    CONSTRAINT model_name_has_1_to_100_characters CHECK (((char_length((model_name)::text) >= 1) AND (char_length((model_name)::text) <= 100))),
    CONSTRAINT model_subtype_has_at_most_50_characters CHECK ((char_length((model_subtype)::text) <= 50)),
    CONSTRAINT model_type_has_1_to_50_characters CHECK (((char_length((model_type)::text) >= 1) AND (char_length((model_type)::text) <= 50))),
    CONSTRAINT performance_metrics_has_at_most_64_kib CHECK ((octet_length((performance_metrics)::text) <= 65536)),
    CONSTRAINT version_has_1_to_20_characters CHECK (((char_length((version)::text) >= 1) AND (char_length((version)::text) <= 20)))
);

CREATE FUNCTION ai_trading.model_message(a ai_trading.ai_models) RETURNS TABLE(model_id text, model_name text, version text, model_type text, model_subtype text, description text, configuration jsonb, performance_metrics jsonb, active boolean, aliases text[], create_time timestamp with time zone, update_time timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
  SELECT
    a.model_id::text, a.model_name::text, a.version::text, a.model_type::text, a.model_subtype::text, a.description,
    a.configuration, a.performance_metrics, a.is_active,
    ARRAY(SELECT named.alias::text FROM ai_trading.ai_model_aliases AS named WHERE named.model_id = a.model_id ORDER BY 1),
    a.created_at, a.updated_at
$$;

CREATE TABLE ai_trading.model_performance (
    performance_id uuid DEFAULT gen_random_uuid() NOT NULL,
    model_id uuid NOT NULL,
    evaluation_period daterange NOT NULL,
    total_signals integer NOT NULL,
    evaluated_signals integer NOT NULL,
    successful_signals integer NOT NULL,
    signal_accuracy double precision,
    avg_confidence double precision,
    sharpe_ratio double precision,
    max_drawdown double precision,
    total_return double precision,
    volatility double precision,
    win_rate double precision,
    avg_holding_period_hours double precision,
    risk_adjusted_return double precision,
    periods_per_year double precision NOT NULL,
    risk_free double precision NOT NULL,
    created_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    CONSTRAINT evaluation_period_has_a_beginning_and_an_end CHECK (((lower(evaluation_period) > '-infinity'::date) AND (upper(evaluation_period) < 'infinity'::date) AND (lower(evaluation_period) IS NOT NULL) AND (upper(evaluation_period) IS NOT NULL))),
    CONSTRAINT periods_per_year_is_from_1_to_1000000 CHECK (((periods_per_year >= (1)::double precision) AND (periods_per_year <= (1000000)::double precision))),
    CONSTRAINT rates_are_from_0_to_1 CHECK ((((signal_accuracy >= (0)::double precision) AND (signal_accuracy <= (1)::double precision)) AND ((avg_confidence >= (0)::double precision) AND (avg_confidence <= (1)::double precision)) AND ((win_rate >= (0)::double precision) AND (win_rate <= (1)::double precision)))),
    CONSTRAINT risk_free_is_from_minus_1_to_1 CHECK (((risk_free >= ('-1'::integer)::double precision) AND (risk_free <= (1)::double precision))),
    CONSTRAINT statistics_are_finite_numbers CHECK (((abs(sharpe_ratio) < 'Infinity'::double precision) AND (abs(max_drawdown) < 'Infinity'::double precision) AND (abs(total_return) < 'Infinity'::double precision) AND (abs(volatility) < 'Infinity'::double precision) AND (abs(avg_holding_period_hours) < 'Infinity'::double precision) AND (abs(risk_adjusted_return) < 'Infinity'::double precision))),
    CONSTRAINT successful_signals_are_evaluated CHECK (((successful_signals >= 0) AND (successful_signals <= evaluated_signals)))
);

COMMENT ON COLUMN ai_trading.model_performance.risk_adjusted_return IS 'The Calmar ratio: total_return as of one year, over max_drawdown.';

COMMENT ON COLUMN ai_trading.model_performance.risk_free IS 'The return of a day without risk, as a ratio.';

CREATE FUNCTION ai_trading.model_performance_message(p ai_trading.model_performance) RETURNS TABLE(performance_id text, model_id text, evaluation_period jsonb, total_signals integer, evaluated_signals integer, successful_signals integer, signal_accuracy double precision, avg_confidence double precision, sharpe_ratio double precision, max_drawdown double precision, total_return double precision, volatility double precision, win_rate double precision, avg_holding_period_hours double precision, risk_adjusted_return double precision, periods_per_year double precision, risk_free double precision, create_time timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
  SELECT
    p.performance_id::text, p.model_id::text, ai_trading.period_message(p.evaluation_period), p.total_signals,
    p.evaluated_signals, p.successful_signals, p.signal_accuracy, p.avg_confidence, p.sharpe_ratio, p.max_drawdown,
    p.total_return, p.volatility, p.win_rate, p.avg_holding_period_hours, p.risk_adjusted_return, p.periods_per_year,
    p.risk_free, p.created_at
$$;

CREATE TABLE ai_trading.optimization_runs (
    run_id uuid DEFAULT gen_random_uuid() NOT NULL,
    model_id uuid NOT NULL,
    optimization_type character varying NOT NULL,
    objective_function character varying NOT NULL,
    direction character varying(10) DEFAULT 'MAXIMIZE'::character varying NOT NULL,
    population_size integer DEFAULT 0 NOT NULL,
    generations integer DEFAULT 0 NOT NULL,
    parameter_ranges jsonb,
    best_individual jsonb,
    best_fitness double precision,
    convergence_data jsonb,
    final_population jsonb,
    start_time timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    end_time timestamp with time zone,
    status character varying(20) DEFAULT 'running'::character varying NOT NULL,
    error_message text DEFAULT ''::text NOT NULL,
    heartbeat_timeout interval DEFAULT '00:05:00'::interval NOT NULL,
    heartbeat_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    stop_requested boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT a_run_that_runs_has_no_end CHECK ((((status)::text = 'running'::text) = (end_time IS NULL))),
    CONSTRAINT best_fitness_is_a_finite_number CHECK ((abs(best_fitness) < 'Infinity'::double precision)),
    CONSTRAINT best_individual_has_at_most_64_kib CHECK ((octet_length((best_individual)::text) <= 65536)),
    CONSTRAINT direction_is_known CHECK (((direction)::text = ANY ((ARRAY['MAXIMIZE'::character varying, 'MINIMIZE'::character varying])::text[]))),
    CONSTRAINT error_message_has_at_most_10000_characters CHECK ((char_length(error_message) <= 10000)),
    CONSTRAINT generations_is_not_negative CHECK ((generations >= 0)),
    CONSTRAINT heartbeat_timeout_is_1_second_to_7_days CHECK (((heartbeat_timeout >= '00:00:01'::interval) AND (heartbeat_timeout <= '7 days'::interval))),
    CONSTRAINT objective_function_has_1_to_50_characters CHECK (((char_length((objective_function)::text) >= 1) AND (char_length((objective_function)::text) <= 50))),
    CONSTRAINT optimization_status_is_known CHECK (((status)::text = ANY ((ARRAY['running'::character varying, 'completed'::character varying, 'failed'::character varying, 'stopped'::character varying])::text[]))),
    CONSTRAINT optimization_type_has_1_to_50_characters CHECK (((char_length((optimization_type)::text) >= 1) AND (char_length((optimization_type)::text) <= 50))),
    CONSTRAINT parameter_ranges_has_at_most_64_kib CHECK ((octet_length((parameter_ranges)::text) <= 65536)),
    CONSTRAINT population_size_is_not_negative CHECK ((population_size >= 0))
);

CREATE FUNCTION ai_trading.optimization_run_message(r ai_trading.optimization_runs, summary boolean) RETURNS TABLE(run_id text, model_id text, optimization_type text, objective_function text, direction text, state text, population_size integer, generations integer, parameter_ranges jsonb, best_individual jsonb, best_fitness double precision, convergence_data jsonb, final_population jsonb, error_message text, heartbeat_timeout interval, stop_requested boolean, start_time timestamp with time zone, heartbeat_time timestamp with time zone, end_time timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
  SELECT
    r.run_id::text, r.model_id::text, r.optimization_type::text, r.objective_function::text,
    'FITNESS_DIRECTION_' || r.direction, 'OPTIMIZATION_STATE_' || upper(r.status), r.population_size, r.generations,
    r.parameter_ranges, r.best_individual, r.best_fitness, CASE WHEN NOT summary THEN r.convergence_data END,
    CASE WHEN NOT summary THEN r.final_population END, r.error_message, r.heartbeat_timeout, r.stop_requested,
    r.start_time, r.heartbeat_at, r.end_time
$$;

CREATE FUNCTION ai_trading.period_message(days daterange) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT jsonb_build_object('start_date', lower(days), 'end_date', upper(days)) WHERE days IS NOT NULL
$$;

CREATE FUNCTION ai_trading.record_generation(run uuid, number integer, best double precision, average double precision, diversity double precision, best_genes jsonb, genes jsonb[], fitness_scores double precision[], objectives jsonb[]) RETURNS TABLE(outcome text, stop_requested boolean)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET extra_float_digits TO '1'
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

CREATE FUNCTION ai_trading.return_metrics(returns double precision[], periods_per_year double precision, risk_free double precision) RETURNS TABLE(sharpe_ratio double precision, max_drawdown double precision, total_return double precision, volatility double precision, calmar_ratio double precision)
    LANGUAGE sql IMMUTABLE
    AS $$
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

CREATE FUNCTION ai_trading.set_model_of_evaluation() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  NEW.model_id := (SELECT s.model_id FROM ai_trading.ai_signals AS s WHERE s.signal_id = NEW.signal_id);
  RETURN NEW;
END
$$;

CREATE FUNCTION ai_trading.signal_log_head(OUT sequence bigint, OUT commit_time timestamp with time zone) RETURNS record
    LANGUAGE sql STABLE
    AS $$
  SELECT coalesce(last.sequence, meta.floor), greatest(last.commit_time, clock_timestamp())
  FROM ai_trading.log_meta AS meta
  LEFT JOIN (SELECT l.sequence, l.commit_time FROM ai_trading.signal_log AS l ORDER BY l.sequence DESC LIMIT 1) AS last
    ON TRUE
$$;

CREATE FUNCTION ai_trading.signal_log_position(moment timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql STABLE
    AS $$
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

CREATE TABLE ai_trading.ai_signals (
    signal_id uuid NOT NULL,
    model_id uuid NOT NULL,
    symbol character varying NOT NULL,
    signal_type character varying(10) NOT NULL,
    confidence numeric(5,4) NOT NULL,
    price_target numeric(15,6),
    stop_loss numeric(15,6),
    take_profit numeric(15,6),
    reference_price numeric(15,6),
    signal_timestamp timestamp with time zone NOT NULL,
    market_data_timestamp timestamp with time zone,
    expires_at timestamp with time zone,
    metadata jsonb,
    status character varying(20) DEFAULT 'ACTIVE'::character varying NOT NULL,
    pattern_id bigint,
    trade_plan_id bigint,
    sequence bigint NOT NULL,
    end_sequence bigint,
    state_request_id uuid,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    message bytea,
    CONSTRAINT confidence_between_0_and_1 CHECK (((confidence >= (0)::numeric) AND (confidence <= (1)::numeric))),
    CONSTRAINT expires_after_signal CHECK ((expires_at > signal_timestamp)),
    CONSTRAINT prices_are_numbers CHECK (((price_target <> 'NaN'::numeric) AND (stop_loss <> 'NaN'::numeric) AND (take_profit <> 'NaN'::numeric) AND (reference_price <> 'NaN'::numeric))),
    CONSTRAINT signal_type_is_known CHECK (((signal_type)::text = ANY ((ARRAY['BUY'::character varying, 'SELL'::character varying, 'HOLD'::character varying])::text[]))),
    CONSTRAINT status_is_known CHECK (((status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'EXECUTED'::character varying, 'CANCELLED'::character varying, 'EXPIRED'::character varying])::text[]))),
    CONSTRAINT symbol_has_1_to_32_characters CHECK (((char_length((symbol)::text) >= 1) AND (char_length((symbol)::text) <= 32)))
);

COMMENT ON COLUMN ai_trading.ai_signals.sequence IS 'Where in signal_log the signal was published; outlives the log row.';

COMMENT ON COLUMN ai_trading.ai_signals.end_sequence IS 'Where in signal_log the signal ended; NULL while it is ACTIVE.';

COMMENT ON COLUMN ai_trading.ai_signals.state_request_id IS 'The request that ended the signal, so that a repetition finds its outcome.';

COMMENT ON COLUMN ai_trading.ai_signals.message IS 'The message Signal as it was published; NULL if it was published before this column was there.';

CREATE FUNCTION ai_trading.signal_message(s ai_trading.ai_signals) RETURNS TABLE(signal_id text, model_id text, symbol text, signal_type text, confidence double precision, price_target text, stop_loss text, take_profit text, reference_price text, signal_time timestamp with time zone, market_data_time timestamp with time zone, expire_time timestamp with time zone, metadata jsonb, state text, pattern_id bigint, trade_plan_id bigint, create_time timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
  SELECT
    s.signal_id::text, s.model_id::text, s.symbol::text, 'SIGNAL_TYPE_' || s.signal_type, s.confidence::float8,
    trim_scale(s.price_target)::text, trim_scale(s.stop_loss)::text, trim_scale(s.take_profit)::text,
    trim_scale(s.reference_price)::text, s.signal_timestamp, s.market_data_timestamp, s.expires_at, s.metadata,
    'SIGNAL_STATE_' || s.status, s.pattern_id, s.trade_plan_id, s.created_at
$$;

CREATE TABLE ai_trading.spectrum_analysis (
    analysis_id uuid DEFAULT gen_random_uuid() NOT NULL,
    model_id uuid NOT NULL,
    symbol character varying NOT NULL,
    analysis_timestamp timestamp with time zone,
    analysis_type character varying NOT NULL,
    frequency_components jsonb,
    spectral_features jsonb,
    pattern_detected character varying DEFAULT ''::character varying NOT NULL,
    pattern_confidence numeric(5,4),
    reconstruction_error double precision,
    anomaly_score double precision,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT amplitudes_must_be_as_many_as_dominant_frequencies CHECK ((jsonb_array_length((frequency_components -> 'amplitudes'::text)) = jsonb_array_length((frequency_components -> 'dominant_frequencies'::text)))),
    CONSTRAINT analysis_time_is_required CHECK ((analysis_timestamp IS NOT NULL)),
    CONSTRAINT analysis_type_has_1_to_50_characters CHECK (((char_length((analysis_type)::text) >= 1) AND (char_length((analysis_type)::text) <= 50))),
    CONSTRAINT anomaly_score_is_a_finite_number CHECK ((abs(anomaly_score) < 'Infinity'::double precision)),
    CONSTRAINT dominant_frequencies_has_at_most_1000_elements CHECK ((jsonb_array_length((frequency_components -> 'dominant_frequencies'::text)) <= 1000)),
    CONSTRAINT frequency_components_has_at_most_128_kib CHECK ((octet_length((frequency_components)::text) <= 131072)),
    CONSTRAINT frequency_components_is_four_arrays_of_numbers CHECK (((frequency_components ?& ARRAY['dominant_frequencies'::text, 'amplitudes'::text, 'phases'::text, 'significance_scores'::text]) AND ((frequency_components - ARRAY['dominant_frequencies'::text, 'amplitudes'::text, 'phases'::text, 'significance_scores'::text]) = '{}'::jsonb) AND (NOT jsonb_path_exists(frequency_components, '$.*[*]?(@.type() != "number")'::jsonpath)))),
    CONSTRAINT pattern_confidence_is_between_0_and_1 CHECK (((pattern_confidence >= (0)::numeric) AND (pattern_confidence <= (1)::numeric))),
    CONSTRAINT pattern_detected_has_at_most_100_characters CHECK ((char_length((pattern_detected)::text) <= 100)),
    CONSTRAINT phases_must_be_as_many_as_dominant_frequencies CHECK ((jsonb_array_length((frequency_components -> 'phases'::text)) = jsonb_array_length((frequency_components -> 'dominant_frequencies'::text)))),
    CONSTRAINT reconstruction_error_is_a_finite_number CHECK ((abs(reconstruction_error) < 'Infinity'::double precision)),
    CONSTRAINT significance_scores_must_be_as_many_as_dominant_frequencies CHECK ((jsonb_array_length((frequency_components -> 'significance_scores'::text)) = jsonb_array_length((frequency_components -> 'dominant_frequencies'::text)))),
    CONSTRAINT spectral_features_has_at_most_64_kib CHECK ((octet_length((spectral_features)::text) <= 65536)),
    CONSTRAINT spectral_features_is_an_object CHECK ((jsonb_typeof(spectral_features) = 'object'::text)),
    CONSTRAINT symbol_has_1_to_32_characters CHECK (((char_length((symbol)::text) >= 1) AND (char_length((symbol)::text) <= 32)))
);

CREATE FUNCTION ai_trading.spectrum_analysis_message(s ai_trading.spectrum_analysis) RETURNS TABLE(analysis_id text, model_id text, symbol text, analysis_time timestamp with time zone, analysis_type text, frequency_components jsonb, spectral_features jsonb, pattern_detected text, pattern_confidence double precision, reconstruction_error double precision, anomaly_score double precision, create_time timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
  SELECT
    s.analysis_id::text, s.model_id::text, s.symbol::text, s.analysis_timestamp, s.analysis_type::text,
    s.frequency_components, s.spectral_features, s.pattern_detected::text, s.pattern_confidence::float8,
    s.reconstruction_error, s.anomaly_score, s.created_at
$$;

CREATE TABLE ai_trading.training_sessions (
    session_id uuid DEFAULT gen_random_uuid() NOT NULL,
    model_id uuid NOT NULL,
    session_name character varying NOT NULL,
    start_time timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    end_time timestamp with time zone,
    status character varying(20) DEFAULT 'running'::character varying NOT NULL,
    training_data_period daterange,
    validation_data_period daterange,
    hyperparameters jsonb,
    training_metrics jsonb,
    final_performance jsonb,
    model_artifacts_path text DEFAULT ''::text NOT NULL,
    error_message text DEFAULT ''::text NOT NULL,
    heartbeat_timeout interval DEFAULT '00:05:00'::interval NOT NULL,
    heartbeat_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    stop_requested boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT a_session_that_runs_has_no_end CHECK ((((status)::text = 'running'::text) = (end_time IS NULL))),
    CONSTRAINT error_message_has_at_most_10000_characters CHECK ((char_length(error_message) <= 10000)),
    CONSTRAINT final_performance_has_at_most_64_kib CHECK ((octet_length((final_performance)::text) <= 65536)),
    CONSTRAINT heartbeat_timeout_is_1_second_to_7_days CHECK (((heartbeat_timeout >= '00:00:01'::interval) AND (heartbeat_timeout <= '7 days'::interval))),
    CONSTRAINT hyperparameters_has_at_most_64_kib CHECK ((octet_length((hyperparameters)::text) <= 65536)),
    CONSTRAINT model_artifacts_path_has_at_most_1000_characters CHECK ((char_length(model_artifacts_path) <= 1000)),
    CONSTRAINT session_name_has_1_to_100_characters CHECK (((char_length((session_name)::text) >= 1) AND (char_length((session_name)::text) <= 100))),
    CONSTRAINT training_status_is_known CHECK (((status)::text = ANY ((ARRAY['running'::character varying, 'completed'::character varying, 'failed'::character varying, 'stopped'::character varying])::text[])))
);

CREATE FUNCTION ai_trading.training_session_message(s ai_trading.training_sessions, summary boolean) RETURNS TABLE(session_id text, model_id text, session_name text, state text, training_data_period jsonb, validation_data_period jsonb, hyperparameters jsonb, training_metrics jsonb, final_performance jsonb, model_artifacts_path text, error_message text, heartbeat_timeout interval, stop_requested boolean, start_time timestamp with time zone, heartbeat_time timestamp with time zone, end_time timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
  SELECT
    s.session_id::text, s.model_id::text, s.session_name::text, 'TRAINING_STATE_' || upper(s.status),
    ai_trading.period_message(s.training_data_period), ai_trading.period_message(s.validation_data_period),
    s.hyperparameters, CASE WHEN NOT summary THEN s.training_metrics END, s.final_performance, s.model_artifacts_path, s.error_message,
    s.heartbeat_timeout, s.stop_requested, s.start_time, s.heartbeat_at, s.end_time
$$;

CREATE FUNCTION ai_trading.trim_event_log(moment timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION ai_trading.trim_signal_log(through bigint) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION ai_trading.update_model_performance(model uuid, period daterange, periods_per_year double precision DEFAULT 252, risk_free double precision DEFAULT 0, id uuid DEFAULT gen_random_uuid()) RETURNS TABLE(performance ai_trading.model_performance, duplicate boolean)
    LANGUAGE sql
    AS $$
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

CREATE TABLE ai_trading.ai_model_aliases (
    model_name character varying NOT NULL,
    alias character varying NOT NULL,
    model_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT alias_is_a_word_of_at_most_50_lower_case_letters_digits_dashes CHECK (((alias)::text ~ '^[a-z][a-z0-9_-]{0,49}$'::text))
);

CREATE VIEW ai_trading.enriched_ai_signals AS
 SELECT s.signal_id,
    s.model_id,
    m.model_name,
    m.model_type,
    m.model_subtype,
    m.version AS model_version,
    s.symbol,
    s.signal_type,
    s.confidence,
    s.price_target,
    s.stop_loss,
    s.take_profit,
    s.reference_price,
    s.signal_timestamp,
    s.market_data_timestamp,
    s.expires_at,
    s.metadata,
    s.status,
    s.pattern_id,
    s.trade_plan_id,
    s.created_at,
    counted.performance_id,
    counted.evaluation_timestamp,
    counted.actual_price,
    counted.price_change_pct,
    counted.target_hit,
    counted.stop_loss_hit,
    counted.holding_period_hours,
    counted.pnl_if_executed
   FROM ((ai_trading.ai_signals s
     JOIN ai_trading.ai_models m ON ((m.model_id = s.model_id)))
     LEFT JOIN LATERAL ( SELECT p.performance_id,
            p.evaluation_timestamp,
            p.actual_price,
            p.price_change_pct,
            p.target_hit,
            p.stop_loss_hit,
            p.holding_period_hours,
            p.pnl_if_executed
           FROM ai_trading.signal_performance p
          WHERE (p.signal_id = s.signal_id)
          ORDER BY
                CASE
                    WHEN (p.target_hit OR p.stop_loss_hit) THEN p.evaluation_timestamp
                    ELSE NULL::timestamp with time zone
                END, p.evaluation_timestamp DESC, p.created_at DESC, p.performance_id DESC
         LIMIT 1) counted ON (true));

CREATE TABLE ai_trading.event_log (
    sequence bigint NOT NULL,
    topic character varying(20) NOT NULL,
    kind character varying(10) NOT NULL,
    commit_time timestamp with time zone NOT NULL,
    content jsonb NOT NULL,
    CONSTRAINT content_is_nested_at_most_24_levels_deep CHECK ((NOT jsonb_path_exists(content, '$.**{25 to last}'::jsonpath))),
    CONSTRAINT event_kind_is_known CHECK (((kind)::text = ANY ((ARRAY['RECORDED'::character varying, 'REPORTED'::character varying, 'RESOLVED'::character varying])::text[]))),
    CONSTRAINT topic_is_known CHECK (((topic)::text = ANY ((ARRAY['ANOMALY'::character varying, 'GENERATION'::character varying, 'PERFORMANCE'::character varying])::text[])))
);

COMMENT ON COLUMN ai_trading.event_log.content IS 'The message about the row, as it was when this happened.';

CREATE TABLE ai_trading.event_log_meta (
    one_row boolean DEFAULT true NOT NULL,
    epoch uuid DEFAULT gen_random_uuid() NOT NULL,
    floor bigint DEFAULT 0 NOT NULL,
    CONSTRAINT there_is_one_row CHECK (one_row)
);

CREATE TABLE ai_trading.feature_data_default (
    feature_id uuid DEFAULT gen_random_uuid() NOT NULL,
    symbol character varying NOT NULL COLLATE pg_catalog."C",
    "timestamp" timestamp with time zone NOT NULL,
    feature_set_name character varying NOT NULL COLLATE pg_catalog."C",
    features jsonb NOT NULL,
    raw_data_hash character varying NOT NULL,
    extraction_method character varying DEFAULT ''::character varying NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT event_time_is_from_the_year_1_to_9999 CHECK ((("timestamp" >= '0001-01-01 00:00:00+00'::timestamp with time zone) AND ("timestamp" < '10000-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT extraction_method_has_at_most_50_characters CHECK ((char_length((extraction_method)::text) <= 50)),
    CONSTRAINT feature_set_name_has_1_to_50_characters CHECK (((char_length((feature_set_name)::text) >= 1) AND (char_length((feature_set_name)::text) <= 50))),
    CONSTRAINT features_has_at_most_64_kib CHECK ((octet_length((features)::text) <= 65536)),
    CONSTRAINT features_is_an_object CHECK ((jsonb_typeof(features) = 'object'::text)),
    CONSTRAINT raw_data_hash_has_64_lowercase_hexadecimal_digits CHECK (((raw_data_hash)::text ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT symbol_has_1_to_32_characters CHECK (((char_length((symbol)::text) >= 1) AND (char_length((symbol)::text) <= 32)))
);

CREATE VIEW ai_trading.latest_model_performance AS
 SELECT m.model_id,
    m.model_name,
    m.model_type,
    m.model_subtype,
    m.version AS model_version,
    latest.performance_id,
    latest.evaluation_period,
    latest.total_signals,
    latest.evaluated_signals,
    latest.successful_signals,
    latest.signal_accuracy,
    latest.avg_confidence,
    latest.sharpe_ratio,
    latest.max_drawdown,
    latest.total_return,
    latest.volatility,
    latest.win_rate,
    latest.avg_holding_period_hours,
    latest.risk_adjusted_return,
    latest.periods_per_year,
    latest.risk_free,
    latest.created_at
   FROM (ai_trading.ai_models m
     CROSS JOIN LATERAL ( SELECT p.performance_id,
            p.evaluation_period,
            p.total_signals,
            p.evaluated_signals,
            p.successful_signals,
            p.signal_accuracy,
            p.avg_confidence,
            p.sharpe_ratio,
            p.max_drawdown,
            p.total_return,
            p.volatility,
            p.win_rate,
            p.avg_holding_period_hours,
            p.risk_adjusted_return,
            p.periods_per_year,
            p.risk_free,
            p.created_at
           FROM ai_trading.model_performance p
          WHERE (p.model_id = m.model_id)
          ORDER BY p.created_at DESC, p.performance_id DESC
         LIMIT 1) latest)
  WHERE m.is_active;

CREATE TABLE ai_trading.log_meta (
    one_row boolean DEFAULT true NOT NULL,
    epoch uuid DEFAULT gen_random_uuid() NOT NULL,
    floor bigint DEFAULT 0 NOT NULL,
    CONSTRAINT there_is_one_row CHECK (one_row)
);

CREATE TABLE ai_trading.schema_migrations (
    version character varying NOT NULL
);

CREATE TABLE ai_trading.signal_log (
    sequence bigint NOT NULL,
    signal_id uuid NOT NULL,
    kind character varying(10) NOT NULL,
    commit_time timestamp with time zone NOT NULL,
    CONSTRAINT kind_is_known CHECK (((kind)::text = ANY ((ARRAY['PUBLISHED'::character varying, 'EXECUTED'::character varying, 'CANCELLED'::character varying, 'EXPIRED'::character varying])::text[])))
);

ALTER TABLE ONLY ai_trading.feature_data ATTACH PARTITION ai_trading.feature_data_default DEFAULT;

ALTER TABLE ai_trading.rl_episodes
    ADD CONSTRAINT actions_taken_is_an_array_of_numbers CHECK ((NOT jsonb_path_exists(actions_taken, '$[*]?(@.type() != "number")'::jsonpath))) NOT VALID;

ALTER TABLE ONLY ai_trading.ai_model_aliases
    ADD CONSTRAINT ai_model_aliases_pkey PRIMARY KEY (model_name, alias);

ALTER TABLE ONLY ai_trading.ai_models
    ADD CONSTRAINT ai_models_pkey PRIMARY KEY (model_id);

ALTER TABLE ONLY ai_trading.ai_signals
    ADD CONSTRAINT ai_signals_pkey PRIMARY KEY (signal_id);

ALTER TABLE ai_trading.spectrum_analysis
    ADD CONSTRAINT analysis_time_is_from_the_year_1_to_9999 CHECK (((analysis_timestamp >= '0001-01-01 00:00:00+00'::timestamp with time zone) AND (analysis_timestamp < '10000-01-01 00:00:00+00'::timestamp with time zone))) NOT VALID;

ALTER TABLE ONLY ai_trading.anomaly_detections
    ADD CONSTRAINT anomaly_detections_pkey PRIMARY KEY (anomaly_id);

ALTER TABLE ai_trading.optimization_generations
    ADD CONSTRAINT best_individual_is_an_object CHECK ((jsonb_typeof(best_individual) = 'object'::text)) NOT VALID;

ALTER TABLE ai_trading.optimization_runs
    ADD CONSTRAINT best_individual_is_an_object CHECK ((jsonb_typeof(best_individual) = 'object'::text)) NOT VALID;

ALTER TABLE ai_trading.optimization_runs
    ADD CONSTRAINT convergence_data_has_at_most_480_kib CHECK ((octet_length((convergence_data)::text) <= 491520)) NOT VALID;

ALTER TABLE ai_trading.optimization_runs
    ADD CONSTRAINT convergence_data_is_an_object CHECK ((jsonb_typeof(convergence_data) = 'object'::text)) NOT VALID;

ALTER TABLE ai_trading.signal_performance
    ADD CONSTRAINT evaluation_time_is_from_the_year_1_to_9999 CHECK (((evaluation_timestamp >= '0001-01-01 00:00:00+00'::timestamp with time zone) AND (evaluation_timestamp < '10000-01-01 00:00:00+00'::timestamp with time zone))) NOT VALID;

ALTER TABLE ONLY ai_trading.event_log_meta
    ADD CONSTRAINT event_log_meta_pkey PRIMARY KEY (one_row);

ALTER TABLE ONLY ai_trading.event_log
    ADD CONSTRAINT event_log_pkey PRIMARY KEY (sequence);

ALTER TABLE ONLY ai_trading.feature_data
    ADD CONSTRAINT feature_data_pkey PRIMARY KEY (feature_id, "timestamp");

ALTER TABLE ONLY ai_trading.feature_data_default
    ADD CONSTRAINT feature_data_default_pkey PRIMARY KEY (feature_id, "timestamp");

ALTER TABLE ONLY ai_trading.feature_data
    ADD CONSTRAINT symbol_feature_set_name_and_timestamp_are_unique UNIQUE (symbol, feature_set_name, "timestamp");

ALTER TABLE ONLY ai_trading.feature_data_default
    ADD CONSTRAINT feature_data_default_symbol_feature_set_name_timestamp_key UNIQUE (symbol, feature_set_name, "timestamp");

ALTER TABLE ai_trading.training_sessions
    ADD CONSTRAINT final_performance_is_an_object CHECK ((jsonb_typeof(final_performance) = 'object'::text)) NOT VALID;

ALTER TABLE ai_trading.optimization_runs
    ADD CONSTRAINT final_population_has_at_most_480_kib CHECK ((octet_length((final_population)::text) <= 491520)) NOT VALID;

ALTER TABLE ai_trading.optimization_runs
    ADD CONSTRAINT final_population_is_an_array CHECK ((jsonb_typeof(final_population) = 'array'::text)) NOT VALID;

ALTER TABLE ai_trading.optimization_individuals
    ADD CONSTRAINT genes_is_an_object CHECK ((jsonb_typeof(genes) = 'object'::text)) NOT VALID;

ALTER TABLE ai_trading.training_sessions
    ADD CONSTRAINT hyperparameters_is_an_object CHECK ((jsonb_typeof(hyperparameters) = 'object'::text)) NOT VALID;

ALTER TABLE ONLY ai_trading.log_meta
    ADD CONSTRAINT log_meta_pkey PRIMARY KEY (one_row);

ALTER TABLE ai_trading.rl_episodes
    ADD CONSTRAINT max_drawdown_is_a_finite_number_and_not_negative CHECK (((max_drawdown >= (0)::double precision) AND (max_drawdown < 'Infinity'::double precision))) NOT VALID;

ALTER TABLE ONLY ai_trading.ai_models
    ADD CONSTRAINT model_name_and_version_are_unique UNIQUE (model_name, version);

ALTER TABLE ONLY ai_trading.model_performance
    ADD CONSTRAINT model_performance_pkey PRIMARY KEY (performance_id);

ALTER TABLE ai_trading.optimization_individuals
    ADD CONSTRAINT objectives_is_an_object CHECK ((jsonb_typeof(objectives) = 'object'::text)) NOT VALID;

ALTER TABLE ONLY ai_trading.optimization_generations
    ADD CONSTRAINT optimization_generations_pkey PRIMARY KEY (run_id, generation);

ALTER TABLE ONLY ai_trading.optimization_individuals
    ADD CONSTRAINT optimization_individuals_pkey PRIMARY KEY (individual_id);

ALTER TABLE ONLY ai_trading.optimization_runs
    ADD CONSTRAINT optimization_runs_pkey PRIMARY KEY (run_id);

ALTER TABLE ai_trading.optimization_runs
    ADD CONSTRAINT parameter_ranges_is_an_object CHECK ((jsonb_typeof(parameter_ranges) = 'object'::text)) NOT VALID;

ALTER TABLE ai_trading.rl_episodes
    ADD CONSTRAINT rewards_is_an_array_of_numbers CHECK ((NOT jsonb_path_exists(rewards, '$[*]?(@.type() != "number")'::jsonpath))) NOT VALID;

ALTER TABLE ONLY ai_trading.rl_episodes
    ADD CONSTRAINT rl_episodes_pkey PRIMARY KEY (episode_id);

ALTER TABLE ONLY ai_trading.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY ai_trading.rl_episodes
    ADD CONSTRAINT session_and_episode_number_are_unique UNIQUE (session_id, episode_number);

ALTER TABLE ONLY ai_trading.signal_log
    ADD CONSTRAINT signal_log_pkey PRIMARY KEY (sequence);

ALTER TABLE ONLY ai_trading.signal_performance
    ADD CONSTRAINT signal_performance_pkey PRIMARY KEY (performance_id);

ALTER TABLE ONLY ai_trading.spectrum_analysis
    ADD CONSTRAINT spectrum_analysis_pkey PRIMARY KEY (analysis_id);

ALTER TABLE ai_trading.training_sessions
    ADD CONSTRAINT training_metrics_has_at_most_960_kib CHECK ((octet_length((training_metrics)::text) <= 983040)) NOT VALID;

ALTER TABLE ai_trading.training_sessions
    ADD CONSTRAINT training_metrics_is_an_object CHECK ((jsonb_typeof(training_metrics) = 'object'::text)) NOT VALID;

ALTER TABLE ONLY ai_trading.training_sessions
    ADD CONSTRAINT training_sessions_pkey PRIMARY KEY (session_id);

CREATE INDEX idx_feature_data_created ON ONLY ai_trading.feature_data USING brin (created_at) WITH (autosummarize='on');

CREATE INDEX feature_data_default_created_at_idx ON ai_trading.feature_data_default USING brin (created_at) WITH (autosummarize='on');

CREATE INDEX idx_feature_data_set_time ON ONLY ai_trading.feature_data USING btree (feature_set_name, "timestamp" DESC, symbol DESC);

CREATE INDEX feature_data_default_feature_set_name_timestamp_symbol_idx ON ai_trading.feature_data_default USING btree (feature_set_name, "timestamp" DESC, symbol DESC);

CREATE INDEX idx_feature_data_symbol_time ON ONLY ai_trading.feature_data USING btree (symbol, "timestamp" DESC);

CREATE INDEX feature_data_default_symbol_timestamp_idx ON ai_trading.feature_data_default USING btree (symbol, "timestamp" DESC);

CREATE INDEX idx_ai_model_aliases_model ON ai_trading.ai_model_aliases USING btree (model_id);

CREATE INDEX idx_ai_models_created ON ai_trading.ai_models USING btree (created_at DESC, model_id DESC);

CREATE INDEX idx_ai_signals_active ON ai_trading.ai_signals USING btree (sequence) WHERE ((status)::text = 'ACTIVE'::text);

CREATE INDEX idx_ai_signals_active_expiry ON ai_trading.ai_signals USING btree (expires_at) WHERE (((status)::text = 'ACTIVE'::text) AND (expires_at IS NOT NULL));

CREATE INDEX idx_ai_signals_active_model_time ON ai_trading.ai_signals USING btree (model_id, signal_timestamp DESC) WHERE ((status)::text = 'ACTIVE'::text);

CREATE INDEX idx_ai_signals_active_time ON ai_trading.ai_signals USING btree (signal_timestamp DESC) WHERE ((status)::text = 'ACTIVE'::text);

CREATE INDEX idx_ai_signals_created ON ai_trading.ai_signals USING brin (created_at) WITH (autosummarize='on');

CREATE INDEX idx_ai_signals_ended_time ON ai_trading.ai_signals USING btree (signal_timestamp DESC) WHERE ((status)::text <> 'ACTIVE'::text);

CREATE INDEX idx_ai_signals_model_status ON ai_trading.ai_signals USING btree (model_id, status, signal_timestamp DESC) WHERE ((status)::text <> 'ACTIVE'::text);

CREATE INDEX idx_ai_signals_model_symbol_time ON ai_trading.ai_signals USING btree (model_id, symbol, signal_timestamp DESC);

CREATE INDEX idx_ai_signals_model_time ON ai_trading.ai_signals USING btree (model_id, signal_timestamp DESC);

CREATE INDEX idx_ai_signals_symbol_time ON ai_trading.ai_signals USING btree (symbol, signal_timestamp DESC);

CREATE INDEX idx_ai_signals_time ON ai_trading.ai_signals USING btree (signal_timestamp DESC, signal_id DESC);

CREATE INDEX idx_ai_signals_type_confidence ON ai_trading.ai_signals USING btree (signal_type, confidence DESC);

CREATE INDEX idx_anomaly_detections_current ON ai_trading.anomaly_detections USING btree (sequence) WHERE (NOT resolved);

CREATE INDEX idx_anomaly_detections_model_time ON ai_trading.anomaly_detections USING btree (model_id, detection_timestamp DESC, anomaly_id DESC);

CREATE INDEX idx_anomaly_detections_severity ON ai_trading.anomaly_detections USING btree (severity_score DESC);

CREATE INDEX idx_anomaly_detections_symbol_time ON ai_trading.anomaly_detections USING btree (symbol, detection_timestamp DESC, anomaly_id DESC);

CREATE INDEX idx_anomaly_detections_symbol_unresolved ON ai_trading.anomaly_detections USING btree (symbol, detection_timestamp DESC, anomaly_id DESC) WHERE (NOT resolved);

CREATE INDEX idx_anomaly_detections_time ON ai_trading.anomaly_detections USING btree (detection_timestamp DESC, anomaly_id DESC);

CREATE INDEX idx_anomaly_detections_unresolved ON ai_trading.anomaly_detections USING btree (detection_timestamp DESC, anomaly_id DESC) WHERE (NOT resolved);

CREATE INDEX idx_model_performance_model_period ON ai_trading.model_performance USING btree (model_id, evaluation_period, created_at DESC, performance_id DESC);

CREATE INDEX idx_model_performance_model_time ON ai_trading.model_performance USING btree (model_id, created_at DESC, performance_id DESC);

CREATE INDEX idx_model_performance_sharpe ON ai_trading.model_performance USING btree (sharpe_ratio DESC);

CREATE INDEX idx_optimization_individuals_fitness ON ai_trading.optimization_individuals USING btree (run_id, fitness_score DESC, individual_id DESC) WHERE is_new;

CREATE INDEX idx_optimization_individuals_genes ON ai_trading.optimization_individuals USING btree (fitness_score, jsonb_hash_extended(genes, (0)::bigint), run_id) WHERE is_new;

CREATE UNIQUE INDEX idx_optimization_individuals_run_gen ON ai_trading.optimization_individuals USING btree (run_id, generation, individual_rank);

CREATE INDEX idx_optimization_runs_active ON ai_trading.optimization_runs USING btree (start_time DESC, run_id DESC) WHERE ((status)::text = 'running'::text);

CREATE INDEX idx_optimization_runs_model_time ON ai_trading.optimization_runs USING btree (model_id, start_time DESC, run_id DESC);

CREATE INDEX idx_optimization_runs_started ON ai_trading.optimization_runs USING btree (start_time DESC, run_id DESC);

CREATE INDEX idx_rl_episodes_reward ON ai_trading.rl_episodes USING btree (session_id, total_reward DESC);

CREATE INDEX idx_signal_performance_model_time ON ai_trading.signal_performance USING btree (model_id, evaluation_timestamp DESC, performance_id DESC);

CREATE INDEX idx_signal_performance_signal_time ON ai_trading.signal_performance USING btree (signal_id, evaluation_timestamp DESC, performance_id DESC);

CREATE INDEX idx_signal_performance_time ON ai_trading.signal_performance USING btree (evaluation_timestamp DESC, performance_id DESC);

CREATE INDEX idx_spectrum_analysis_model_time ON ai_trading.spectrum_analysis USING btree (model_id, analysis_timestamp DESC, analysis_id DESC);

CREATE INDEX idx_spectrum_analysis_pattern_time ON ai_trading.spectrum_analysis USING btree (pattern_detected, analysis_timestamp DESC, analysis_id DESC) WHERE ((pattern_detected)::text <> ''::text);

CREATE INDEX idx_spectrum_analysis_symbol_time ON ai_trading.spectrum_analysis USING btree (symbol, analysis_timestamp DESC, analysis_id DESC);

CREATE INDEX idx_spectrum_analysis_time ON ai_trading.spectrum_analysis USING btree (analysis_timestamp DESC, analysis_id DESC);

CREATE INDEX idx_spectrum_analysis_type_time ON ai_trading.spectrum_analysis USING btree (analysis_type, analysis_timestamp DESC, analysis_id DESC);

CREATE INDEX idx_training_sessions_active ON ai_trading.training_sessions USING btree (start_time DESC, session_id DESC) WHERE ((status)::text = 'running'::text);

CREATE INDEX idx_training_sessions_model_time ON ai_trading.training_sessions USING btree (model_id, start_time DESC);

CREATE INDEX idx_training_sessions_started ON ai_trading.training_sessions USING btree (start_time DESC, session_id DESC);

ALTER INDEX ai_trading.idx_feature_data_created ATTACH PARTITION ai_trading.feature_data_default_created_at_idx;

ALTER INDEX ai_trading.idx_feature_data_set_time ATTACH PARTITION ai_trading.feature_data_default_feature_set_name_timestamp_symbol_idx;

ALTER INDEX ai_trading.feature_data_pkey ATTACH PARTITION ai_trading.feature_data_default_pkey;

ALTER INDEX ai_trading.symbol_feature_set_name_and_timestamp_are_unique ATTACH PARTITION ai_trading.feature_data_default_symbol_feature_set_name_timestamp_key;

ALTER INDEX ai_trading.idx_feature_data_symbol_time ATTACH PARTITION ai_trading.feature_data_default_symbol_timestamp_idx;

CREATE CONSTRAINT TRIGGER anomaly_1_reported AFTER INSERT ON ai_trading.anomaly_detections DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ai_trading.log_event('ANOMALY', 'REPORTED', 'anomaly_message', 'anomaly_id');

CREATE CONSTRAINT TRIGGER anomaly_2_reported_as_resolved AFTER INSERT ON ai_trading.anomaly_detections DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.resolved) EXECUTE FUNCTION ai_trading.log_event('ANOMALY', 'RESOLVED', 'anomaly_message');

CREATE CONSTRAINT TRIGGER anomaly_3_resolved AFTER UPDATE ON ai_trading.anomaly_detections DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.resolved AND (NOT old.resolved))) EXECUTE FUNCTION ai_trading.log_event('ANOMALY', 'RESOLVED', 'anomaly_message');

CREATE CONSTRAINT TRIGGER anomaly_4_opened_again AFTER UPDATE ON ai_trading.anomaly_detections DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((old.resolved AND (NOT new.resolved))) EXECUTE FUNCTION ai_trading.log_event('ANOMALY', 'REPORTED', 'anomaly_message', 'anomaly_id');

CREATE CONSTRAINT TRIGGER log_model_performance AFTER INSERT ON ai_trading.model_performance DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ai_trading.log_event('PERFORMANCE', 'RECORDED', 'model_performance_message');

CREATE CONSTRAINT TRIGGER log_recorded_generation AFTER INSERT ON ai_trading.optimization_generations DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ai_trading.log_event('GENERATION', 'RECORDED', 'generation_message');

CREATE TRIGGER set_model_of_evaluation BEFORE INSERT ON ai_trading.signal_performance FOR EACH ROW EXECUTE FUNCTION ai_trading.set_model_of_evaluation();

ALTER TABLE ONLY ai_trading.ai_model_aliases
    ADD CONSTRAINT ai_model_aliases_model_id_fkey FOREIGN KEY (model_id) REFERENCES ai_trading.ai_models(model_id) ON DELETE CASCADE;

ALTER TABLE ONLY ai_trading.ai_signals
    ADD CONSTRAINT ai_signals_model_id_fkey FOREIGN KEY (model_id) REFERENCES ai_trading.ai_models(model_id);

ALTER TABLE ONLY ai_trading.anomaly_detections
    ADD CONSTRAINT anomaly_detections_model_id_fkey FOREIGN KEY (model_id) REFERENCES ai_trading.ai_models(model_id);

ALTER TABLE ONLY ai_trading.model_performance
    ADD CONSTRAINT model_performance_model_id_fkey FOREIGN KEY (model_id) REFERENCES ai_trading.ai_models(model_id);

ALTER TABLE ONLY ai_trading.optimization_generations
    ADD CONSTRAINT optimization_generations_run_id_fkey FOREIGN KEY (run_id) REFERENCES ai_trading.optimization_runs(run_id);

ALTER TABLE ONLY ai_trading.optimization_individuals
    ADD CONSTRAINT optimization_individuals_run_id_fkey FOREIGN KEY (run_id) REFERENCES ai_trading.optimization_runs(run_id);

ALTER TABLE ONLY ai_trading.optimization_runs
    ADD CONSTRAINT optimization_runs_model_id_fkey FOREIGN KEY (model_id) REFERENCES ai_trading.ai_models(model_id);

ALTER TABLE ONLY ai_trading.rl_episodes
    ADD CONSTRAINT rl_episodes_session_id_fkey FOREIGN KEY (session_id) REFERENCES ai_trading.training_sessions(session_id);

ALTER TABLE ONLY ai_trading.signal_performance
    ADD CONSTRAINT signal_performance_signal_id_fkey FOREIGN KEY (signal_id) REFERENCES ai_trading.ai_signals(signal_id);

ALTER TABLE ONLY ai_trading.spectrum_analysis
    ADD CONSTRAINT spectrum_analysis_model_id_fkey FOREIGN KEY (model_id) REFERENCES ai_trading.ai_models(model_id);

ALTER TABLE ONLY ai_trading.training_sessions
    ADD CONSTRAINT training_sessions_model_id_fkey FOREIGN KEY (model_id) REFERENCES ai_trading.ai_models(model_id);

GRANT USAGE ON SCHEMA ai_trading TO ai_trading_service;

GRANT SELECT,INSERT ON TABLE ai_trading.anomaly_detections TO ai_trading_service;

GRANT UPDATE(anomaly_id) ON TABLE ai_trading.anomaly_detections TO ai_trading_service;

GRANT UPDATE(resolved) ON TABLE ai_trading.anomaly_detections TO ai_trading_service;

GRANT UPDATE(resolution_timestamp) ON TABLE ai_trading.anomaly_detections TO ai_trading_service;

GRANT UPDATE(resolution_note) ON TABLE ai_trading.anomaly_detections TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.anomaly_message(a ai_trading.anomaly_detections) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.anomaly_message(a ai_trading.anomaly_detections) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.append_signals(requests integer[], signal_ids uuid[], model_ids uuid[], symbols text[], signal_types text[], confidences double precision[], price_targets text[], stop_losses text[], take_profits text[], reference_prices text[], signal_times bigint[], market_data_times bigint[], expire_times bigint[], metadatas text[], pattern_ids bigint[], trade_plan_ids bigint[], messages bytea[]) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.append_signals(requests integer[], signal_ids uuid[], model_ids uuid[], symbols text[], signal_types text[], confidences double precision[], price_targets text[], stop_losses text[], take_profits text[], reference_prices text[], signal_times bigint[], market_data_times bigint[], expire_times bigint[], metadatas text[], pattern_ids bigint[], trade_plan_ids bigint[], messages bytea[]) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.append_training_metrics(id uuid, names text[], offsets integer[], pieces jsonb[], facts jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.append_training_metrics(id uuid, names text[], offsets integer[], pieces jsonb[], facts jsonb) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.cleanup_old_feature_data(retention_days integer) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.cleanup_old_feature_data(retention_days integer) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.convergence_point_message(run uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.convergence_point_message(run uuid) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.end_signal(ended_id uuid, end_state text, request uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.end_signal(ended_id uuid, end_state text, request uuid) TO ai_trading_service;

GRANT SELECT,INSERT ON TABLE ai_trading.rl_episodes TO ai_trading_service;

GRANT UPDATE(session_id) ON TABLE ai_trading.rl_episodes TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.episode_message(e ai_trading.rl_episodes, summary boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.episode_message(e ai_trading.rl_episodes, summary boolean) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.evaluated_signals(model uuid, period daterange) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.evaluated_signals(model uuid, period daterange) TO ai_trading_service;

GRANT SELECT,INSERT ON TABLE ai_trading.signal_performance TO ai_trading_service;

GRANT UPDATE(performance_id) ON TABLE ai_trading.signal_performance TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.evaluation_message(p ai_trading.signal_performance) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.evaluation_message(p ai_trading.signal_performance) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.event_log_head(OUT sequence bigint, OUT commit_time timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.event_log_head(OUT sequence bigint, OUT commit_time timestamp with time zone) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.expire_signals(most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.expire_signals(most integer) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.fail_silent_runs() FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.fail_silent_runs() TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.fail_silent_sessions() FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.fail_silent_sessions() TO ai_trading_service;

GRANT SELECT,INSERT,UPDATE ON TABLE ai_trading.feature_data TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.feature_vector_message(f ai_trading.feature_data) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.feature_vector_message(f ai_trading.feature_data) TO ai_trading_service;

GRANT SELECT,INSERT ON TABLE ai_trading.optimization_generations TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.generation_message(g ai_trading.optimization_generations) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.generation_message(g ai_trading.optimization_generations) TO ai_trading_service;

GRANT SELECT,INSERT ON TABLE ai_trading.optimization_individuals TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.individual_message(i ai_trading.optimization_individuals) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.individual_message(i ai_trading.optimization_individuals) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.lock_signal_log() FROM PUBLIC;

REVOKE ALL ON FUNCTION ai_trading.log_event() FROM PUBLIC;

REVOKE ALL ON FUNCTION ai_trading.make_feature_partitions() FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.make_feature_partitions() TO ai_trading_service;

GRANT SELECT,INSERT,UPDATE ON TABLE ai_trading.ai_models TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.model_message(a ai_trading.ai_models) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.model_message(a ai_trading.ai_models) TO ai_trading_service;

GRANT SELECT,INSERT ON TABLE ai_trading.model_performance TO ai_trading_service;

GRANT UPDATE(performance_id) ON TABLE ai_trading.model_performance TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.model_performance_message(p ai_trading.model_performance) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.model_performance_message(p ai_trading.model_performance) TO ai_trading_service;

GRANT SELECT,INSERT,UPDATE ON TABLE ai_trading.optimization_runs TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.optimization_run_message(r ai_trading.optimization_runs, summary boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.optimization_run_message(r ai_trading.optimization_runs, summary boolean) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.period_message(days daterange) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.period_message(days daterange) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.record_generation(run uuid, number integer, best double precision, average double precision, diversity double precision, best_genes jsonb, genes jsonb[], fitness_scores double precision[], objectives jsonb[]) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.record_generation(run uuid, number integer, best double precision, average double precision, diversity double precision, best_genes jsonb, genes jsonb[], fitness_scores double precision[], objectives jsonb[]) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.return_metrics(returns double precision[], periods_per_year double precision, risk_free double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.return_metrics(returns double precision[], periods_per_year double precision, risk_free double precision) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.set_model_of_evaluation() FROM PUBLIC;

REVOKE ALL ON FUNCTION ai_trading.signal_log_head(OUT sequence bigint, OUT commit_time timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.signal_log_head(OUT sequence bigint, OUT commit_time timestamp with time zone) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.signal_log_position(moment timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.signal_log_position(moment timestamp with time zone) TO ai_trading_service;

GRANT SELECT ON TABLE ai_trading.ai_signals TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.signal_message(s ai_trading.ai_signals) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.signal_message(s ai_trading.ai_signals) TO ai_trading_service;

GRANT SELECT,INSERT ON TABLE ai_trading.spectrum_analysis TO ai_trading_service;

GRANT UPDATE(analysis_id) ON TABLE ai_trading.spectrum_analysis TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.spectrum_analysis_message(s ai_trading.spectrum_analysis) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.spectrum_analysis_message(s ai_trading.spectrum_analysis) TO ai_trading_service;

GRANT SELECT,INSERT,UPDATE ON TABLE ai_trading.training_sessions TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.training_session_message(s ai_trading.training_sessions, summary boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.training_session_message(s ai_trading.training_sessions, summary boolean) TO ai_trading_service;

REVOKE ALL ON FUNCTION ai_trading.trim_event_log(moment timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION ai_trading.trim_signal_log(through bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION ai_trading.update_model_performance(model uuid, period daterange, periods_per_year double precision, risk_free double precision, id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION ai_trading.update_model_performance(model uuid, period daterange, periods_per_year double precision, risk_free double precision, id uuid) TO ai_trading_service;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE ai_trading.ai_model_aliases TO ai_trading_service;

GRANT SELECT ON TABLE ai_trading.enriched_ai_signals TO ai_trading_service;

GRANT SELECT ON TABLE ai_trading.event_log TO ai_trading_service;

GRANT SELECT ON TABLE ai_trading.event_log_meta TO ai_trading_service;

GRANT SELECT ON TABLE ai_trading.latest_model_performance TO ai_trading_service;

GRANT SELECT ON TABLE ai_trading.log_meta TO ai_trading_service;

GRANT SELECT ON TABLE ai_trading.schema_migrations TO ai_trading_service;

GRANT SELECT ON TABLE ai_trading.signal_log TO ai_trading_service;
