-- What is stored can be read again in one message of 4 MiB, a list of sessions needs not read their metrics, and a series
-- and a fact cannot take each other's place.

-- migrate:up
-- As a message, JSON has up to 11/3 of its size: all that a row has is at most 1088 KiB as JSON. What is there already
-- may stay.
ALTER TABLE ai_trading.training_sessions
  DROP CONSTRAINT training_metrics_has_at_most_1_mib,
  ADD CONSTRAINT training_metrics_has_at_most_960_kib CHECK (octet_length(training_metrics::text) <= 983040) NOT VALID;
ALTER TABLE ai_trading.optimization_runs
  DROP CONSTRAINT convergence_data_has_at_most_1_mib,
  DROP CONSTRAINT final_population_has_at_most_1_mib,
  ADD CONSTRAINT convergence_data_has_at_most_480_kib CHECK (octet_length(convergence_data::text) <= 491520) NOT VALID,
  ADD CONSTRAINT final_population_has_at_most_480_kib CHECK (octet_length(final_population::text) <= 491520) NOT VALID;
ALTER TABLE ai_trading.rl_episodes
  DROP CONSTRAINT max_drawdown_is_a_finite_number,
  ADD CONSTRAINT max_drawdown_is_a_finite_number_and_not_negative
    CHECK (max_drawdown >= 0 AND max_drawdown < 'Infinity') NOT VALID;
-- Its name was longer than names are.
ALTER TABLE ai_trading.ai_model_aliases
  RENAME CONSTRAINT alias_starts_with_a_lower_case_letter_and_has_at_most_50_of_the
  TO alias_is_a_word_of_at_most_50_lower_case_letters_digits_dashes;

DROP FUNCTION ai_trading.training_session_message;
-- A session as the message TrainingSession has it, with its metrics or without. The planner inlines it.
CREATE FUNCTION ai_trading.training_session_message(s ai_trading.training_sessions, summary BOOLEAN) RETURNS TABLE (
  session_id TEXT, model_id TEXT, session_name TEXT, state TEXT, training_data_period JSONB,
  validation_data_period JSONB, hyperparameters JSONB, training_metrics JSONB, final_performance JSONB,
  model_artifacts_path TEXT, error_message TEXT, heartbeat_timeout INTERVAL, stop_requested BOOLEAN,
  start_time TIMESTAMPTZ, heartbeat_time TIMESTAMPTZ, end_time TIMESTAMPTZ
) LANGUAGE sql STABLE AS $$
  SELECT
    s.session_id::text, s.model_id::text, s.session_name::text, 'TRAINING_STATE_' || upper(s.status),
    ai_trading.period_message(s.training_data_period), ai_trading.period_message(s.validation_data_period),
    s.hyperparameters, CASE WHEN NOT summary THEN s.training_metrics END, s.final_performance, s.model_artifacts_path, s.error_message,
    s.heartbeat_timeout, s.stop_requested, s.start_time, s.heartbeat_at, s.end_time
$$;

REVOKE ALL ON FUNCTION ai_trading.training_session_message FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai_trading.training_session_message TO ai_trading_service;

-- Adds pieces to the series in the metrics of a running session, and merges facts into them: arrays are series, all else
-- is a fact. Returns no row if there is no such session; its state otherwise, and the first name that a piece or a fact
-- does not fit, with the length of its series, or without if it is a fact.
CREATE OR REPLACE FUNCTION ai_trading.append_training_metrics(
  id UUID, names TEXT[], offsets INTEGER[], pieces JSONB[], facts JSONB
) RETURNS TABLE (stop_requested BOOLEAN, state TEXT, misfit TEXT, length INTEGER)
LANGUAGE plpgsql VOLATILE AS $$
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

-- migrate:down
-- Adds pieces to the series in the metrics of a running session, and merges facts into them. Returns no row if there is
-- no such session; its state otherwise, and the first series that a piece does not fit, with its length.
CREATE OR REPLACE FUNCTION ai_trading.append_training_metrics(
  id UUID, names TEXT[], offsets INTEGER[], pieces JSONB[], facts JSONB
) RETURNS TABLE (stop_requested BOOLEAN, state TEXT, misfit TEXT, length INTEGER)
LANGUAGE plpgsql VOLATILE AS $$
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
      series := CASE jsonb_typeof(metrics -> names[number]) WHEN 'array' THEN metrics -> names[number] ELSE '[]' END;
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
    UPDATE ai_trading.training_sessions AS s
    SET training_metrics = metrics || coalesce(facts, '{}'), heartbeat_at = clock_timestamp()
    WHERE s.session_id = id;
  END IF;
  RETURN QUERY SELECT session.stop_requested, session.status::TEXT, NULL::TEXT, NULL::INTEGER;
END
$$;

DROP FUNCTION ai_trading.training_session_message;
-- A session as the message TrainingSession has it. The planner inlines it.
CREATE FUNCTION ai_trading.training_session_message(s ai_trading.training_sessions) RETURNS TABLE (
  session_id TEXT, model_id TEXT, session_name TEXT, state TEXT, training_data_period JSONB,
  validation_data_period JSONB, hyperparameters JSONB, training_metrics JSONB, final_performance JSONB,
  model_artifacts_path TEXT, error_message TEXT, heartbeat_timeout INTERVAL, stop_requested BOOLEAN,
  start_time TIMESTAMPTZ, heartbeat_time TIMESTAMPTZ, end_time TIMESTAMPTZ
) LANGUAGE sql STABLE AS $$
  SELECT
    s.session_id::text, s.model_id::text, s.session_name::text, 'TRAINING_STATE_' || upper(s.status),
    ai_trading.period_message(s.training_data_period), ai_trading.period_message(s.validation_data_period),
    s.hyperparameters, s.training_metrics, s.final_performance, s.model_artifacts_path, s.error_message,
    s.heartbeat_timeout, s.stop_requested, s.start_time, s.heartbeat_at, s.end_time
$$;

REVOKE ALL ON FUNCTION ai_trading.training_session_message FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai_trading.training_session_message TO ai_trading_service;

ALTER TABLE ai_trading.ai_model_aliases
  RENAME CONSTRAINT alias_is_a_word_of_at_most_50_lower_case_letters_digits_dashes
  TO alias_starts_with_a_lower_case_letter_and_has_at_most_50_of_the;
ALTER TABLE ai_trading.rl_episodes
  DROP CONSTRAINT max_drawdown_is_a_finite_number_and_not_negative,
  ADD CONSTRAINT max_drawdown_is_a_finite_number CHECK (abs(max_drawdown) < 'Infinity');
ALTER TABLE ai_trading.optimization_runs
  DROP CONSTRAINT convergence_data_has_at_most_480_kib,
  DROP CONSTRAINT final_population_has_at_most_480_kib,
  ADD CONSTRAINT convergence_data_has_at_most_1_mib CHECK (octet_length(convergence_data::text) <= 1048576),
  ADD CONSTRAINT final_population_has_at_most_1_mib CHECK (octet_length(final_population::text) <= 1048576);
ALTER TABLE ai_trading.training_sessions
  DROP CONSTRAINT training_metrics_has_at_most_960_kib,
  ADD CONSTRAINT training_metrics_has_at_most_1_mib CHECK (octet_length(training_metrics::text) <= 1048576);
