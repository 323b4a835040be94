-- The history of training: sessions, and the episodes of reinforcement learning.

-- migrate:up
CREATE TABLE ai_trading.training_sessions (
  session_id             UUID PRIMARY KEY,
  model_id               UUID NOT NULL REFERENCES ai_trading.ai_models,
  session_name           VARCHAR NOT NULL,
  start_time             TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  end_time               TIMESTAMPTZ,
  status                 VARCHAR(20) NOT NULL DEFAULT 'running',
  training_data_period   DATERANGE,
  validation_data_period DATERANGE,
  hyperparameters        JSONB,
  training_metrics       JSONB,
  final_performance      JSONB,
  model_artifacts_path   TEXT NOT NULL DEFAULT '',
  error_message          TEXT NOT NULL DEFAULT '',
  heartbeat_timeout      INTERVAL NOT NULL DEFAULT '5 minutes',
  heartbeat_at           TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  stop_requested         BOOLEAN NOT NULL DEFAULT FALSE,
  created_at             TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT session_name_has_1_to_100_characters CHECK (char_length(session_name) BETWEEN 1 AND 100),
  CONSTRAINT training_status_is_known CHECK (status IN ('running', 'completed', 'failed', 'stopped')),
  CONSTRAINT a_session_that_runs_has_no_end CHECK ((status = 'running') = (end_time IS NULL)),
  CONSTRAINT hyperparameters_has_at_most_64_kib CHECK (octet_length(hyperparameters::text) <= 65536),
  CONSTRAINT training_metrics_has_at_most_1_mib CHECK (octet_length(training_metrics::text) <= 1048576),
  CONSTRAINT final_performance_has_at_most_64_kib CHECK (octet_length(final_performance::text) <= 65536),
  CONSTRAINT model_artifacts_path_has_at_most_1000_characters CHECK (char_length(model_artifacts_path) <= 1000),
  CONSTRAINT error_message_has_at_most_10000_characters CHECK (char_length(error_message) <= 10000),
  CONSTRAINT heartbeat_timeout_is_1_second_to_7_days CHECK (heartbeat_timeout BETWEEN '1 second' AND '7 days')
);

CREATE INDEX idx_training_sessions_started ON ai_trading.training_sessions (start_time DESC, session_id DESC);
CREATE INDEX idx_training_sessions_model_time ON ai_trading.training_sessions (model_id, start_time DESC);
-- No index has heartbeat_at, so that heartbeats need not touch any.
CREATE INDEX idx_training_sessions_active ON ai_trading.training_sessions (start_time DESC, session_id DESC)
  WHERE status = 'running';

CREATE TABLE ai_trading.rl_episodes (
  episode_id            UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id            UUID NOT NULL REFERENCES ai_trading.training_sessions,
  episode_number        INTEGER NOT NULL,
  total_reward          DOUBLE PRECISION NOT NULL,
  episode_length        INTEGER NOT NULL,
  final_portfolio_value NUMERIC,
  max_drawdown          DOUBLE PRECISION,
  actions_taken         JSONB NOT NULL,
  rewards               JSONB NOT NULL,
  episode_end_reason    VARCHAR NOT NULL DEFAULT '',
  created_at            TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT session_and_episode_number_are_unique UNIQUE (session_id, episode_number),
  CONSTRAINT episode_number_is_at_least_1 CHECK (episode_number >= 1),
  CONSTRAINT total_reward_is_a_finite_number CHECK (abs(total_reward) < 'Infinity'),
  CONSTRAINT episode_length_is_not_negative CHECK (episode_length >= 0),
  CONSTRAINT final_portfolio_value_has_at_most_9_digits_and_6_decimals
    CHECK (abs(final_portfolio_value) < 1000000000 AND final_portfolio_value = round(final_portfolio_value, 6)),
  CONSTRAINT max_drawdown_is_a_finite_number CHECK (abs(max_drawdown) < 'Infinity'),
  CONSTRAINT actions_taken_has_at_most_100000_elements CHECK (jsonb_array_length(actions_taken) <= 100000),
  CONSTRAINT rewards_has_at_most_100000_elements CHECK (jsonb_array_length(rewards) <= 100000),
  CONSTRAINT episode_end_reason_has_at_most_50_characters CHECK (char_length(episode_end_reason) <= 50)
);

CREATE INDEX idx_rl_episodes_reward ON ai_trading.rl_episodes (session_id, total_reward DESC);

-- A range of days as the message Period has it.
CREATE FUNCTION ai_trading.period_message(days DATERANGE) RETURNS JSONB
LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object('start_date', lower(days)::text, 'end_date', upper(days)::text) WHERE days IS NOT NULL
$$;

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

-- An episode as the message Episode has it, with its sequences or without. The planner inlines it.
CREATE FUNCTION ai_trading.episode_message(e ai_trading.rl_episodes, summary BOOLEAN) RETURNS TABLE (
  session_id TEXT, episode_number INTEGER, total_reward DOUBLE PRECISION, episode_length INTEGER,
  final_portfolio_value TEXT, max_drawdown DOUBLE PRECISION, actions_taken JSONB, rewards JSONB,
  episode_end_reason TEXT, create_time TIMESTAMPTZ
) LANGUAGE sql STABLE AS $$
  SELECT
    e.session_id::text, e.episode_number, e.total_reward, e.episode_length,
    trim_scale(e.final_portfolio_value)::text, e.max_drawdown,
    CASE WHEN NOT summary THEN e.actions_taken END, CASE WHEN NOT summary THEN e.rewards END,
    e.episode_end_reason::text, e.created_at
$$;

-- Adds pieces to the series in the metrics of a running session, and merges facts into them. Returns no row if there is
-- no such session; its state otherwise, and the first series that a piece does not fit, with its length.
CREATE FUNCTION ai_trading.append_training_metrics(
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

-- Fails the sessions whose trainers have been silent for too long, and returns how many they were. While the database
-- was away nobody could be heard. A session that is locked is being heard, or failed by somebody else.
CREATE FUNCTION ai_trading.fail_silent_sessions() RETURNS BIGINT
LANGUAGE sql VOLATILE AS $$
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

GRANT SELECT, INSERT, UPDATE ON ai_trading.training_sessions, ai_trading.rl_episodes TO ai_trading_service;
REVOKE ALL ON FUNCTION ai_trading.period_message, ai_trading.training_session_message, ai_trading.episode_message,
  ai_trading.append_training_metrics, ai_trading.fail_silent_sessions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai_trading.period_message, ai_trading.training_session_message, ai_trading.episode_message,
  ai_trading.append_training_metrics, ai_trading.fail_silent_sessions TO ai_trading_service;

-- migrate:down
DROP FUNCTION ai_trading.fail_silent_sessions;
DROP FUNCTION ai_trading.append_training_metrics;
DROP FUNCTION ai_trading.episode_message;
DROP FUNCTION ai_trading.training_session_message;
DROP FUNCTION ai_trading.period_message;
DROP TABLE ai_trading.rl_episodes;
DROP TABLE ai_trading.training_sessions;
