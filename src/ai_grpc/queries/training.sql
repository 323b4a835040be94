-- name: start_training_session
INSERT INTO training_sessions AS s (
  session_id, model_id, session_name, training_data_period, validation_data_period, hyperparameters, heartbeat_timeout
)
VALUES (
  :session_id, :model_id, :session_name, :training_data_period, :validation_data_period, :hyperparameters,
  coalesce(:heartbeat_timeout, INTERVAL '5 minutes')
)
ON CONFLICT (session_id) DO UPDATE SET session_id = EXCLUDED.session_id
WHERE (
  s.model_id, s.session_name, s.training_data_period, s.validation_data_period, s.hyperparameters, s.heartbeat_timeout
) IS NOT DISTINCT FROM (
  EXCLUDED.model_id, EXCLUDED.session_name, EXCLUDED.training_data_period, EXCLUDED.validation_data_period,
  EXCLUDED.hyperparameters, EXCLUDED.heartbeat_timeout
)
RETURNING s.xmax <> 0 AS duplicate

-- name: heartbeat_training_session
UPDATE training_sessions SET heartbeat_at = clock_timestamp()
WHERE session_id = :session_id AND status = 'running'
RETURNING stop_requested

-- name: append_training_metrics
SELECT a.stop_requested, a.state, a.misfit, a.length
FROM append_training_metrics(:session_id, :names, :offsets, :pieces, :facts) AS a

-- name: end_training_session
UPDATE training_sessions AS s
SET status = :status, end_time = coalesce(s.end_time, clock_timestamp()), final_performance = :final_performance,
  model_artifacts_path = :model_artifacts_path, error_message = :error_message
WHERE s.session_id = :session_id
  AND (s.status = 'running' OR (s.status, s.final_performance, s.model_artifacts_path, s.error_message)
    IS NOT DISTINCT FROM (:status, :final_performance, :model_artifacts_path, :error_message))
RETURNING s.status

-- name: stop_training_session
UPDATE training_sessions SET stop_requested = TRUE
WHERE session_id = :session_id AND status = 'running'

-- name: get_training_session
SELECT m.*
FROM training_sessions AS s, training_session_message(s, FALSE) AS m
WHERE s.session_id = :session_id

-- name: list_training_sessions
SELECT s.start_time AS page_time, s.session_id AS page_id, m.*
FROM training_sessions AS s, training_session_message(s, TRUE) AS m
WHERE (:page_time::timestamptz IS NULL OR (s.start_time, s.session_id) < (:page_time, :page_id::uuid))
  AND (:model_id::text = '' OR s.model_id = nullif(:model_id, '')::uuid)
  AND (:state::text IS NULL OR s.status = lower(:state))
ORDER BY s.start_time DESC, s.session_id DESC
LIMIT :page_limit

-- name: add_episodes
WITH running AS (
  -- Always in this order, so that writers wait for each other and never in a circle.
  SELECT session_id FROM training_sessions
  WHERE session_id = ANY (:session_id::uuid[]) AND status = 'running'
  ORDER BY session_id
  FOR NO KEY UPDATE
), heard AS (
  UPDATE training_sessions AS s SET heartbeat_at = clock_timestamp()
  FROM running AS r
  WHERE s.session_id = r.session_id
)
INSERT INTO rl_episodes AS e (
  session_id, episode_number, total_reward, episode_length, final_portfolio_value, max_drawdown, actions_taken, rewards,
  episode_end_reason
)
SELECT
  g.session_id, g.episode_number, g.total_reward, g.episode_length, nullif(g.final_portfolio_value, '')::NUMERIC,
  g.max_drawdown, g.actions_taken, g.rewards, g.episode_end_reason
FROM unnest(
  :session_id::uuid[], :episode_number::int[], :total_reward::float8[], :episode_length::int[],
  :final_portfolio_value::text[], :max_drawdown::float8[], :actions_taken::jsonb[], :rewards::jsonb[],
  :episode_end_reason::text[]
) AS g (
  session_id, episode_number, total_reward, episode_length, final_portfolio_value, max_drawdown, actions_taken, rewards,
  episode_end_reason
)
ORDER BY g.session_id, g.episode_number
ON CONFLICT (session_id, episode_number) DO UPDATE SET session_id = EXCLUDED.session_id
WHERE (
  e.total_reward, e.episode_length, e.final_portfolio_value, e.max_drawdown, e.actions_taken, e.rewards,
  e.episode_end_reason
) IS NOT DISTINCT FROM (
  EXCLUDED.total_reward, EXCLUDED.episode_length, EXCLUDED.final_portfolio_value, EXCLUDED.max_drawdown,
  EXCLUDED.actions_taken, EXCLUDED.rewards, EXCLUDED.episode_end_reason
)
RETURNING e.session_id::text, e.episode_number, e.xmax <> 0 AS duplicate

-- name: list_episodes
SELECT e.episode_number AS page_number, m.*
FROM rl_episodes AS e, episode_message(e, :summary) AS m
WHERE e.session_id = :session_id AND e.episode_number > coalesce(:page_number, 0)
ORDER BY e.episode_number
LIMIT :page_limit
