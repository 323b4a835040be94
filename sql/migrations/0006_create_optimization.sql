-- The history of optimizations: runs, their generations, and the individuals of each.

-- migrate:up
CREATE TABLE ai_trading.optimization_runs (
  run_id             UUID PRIMARY KEY,
  model_id           UUID NOT NULL REFERENCES ai_trading.ai_models,
  optimization_type  VARCHAR NOT NULL,
  objective_function VARCHAR NOT NULL,
  direction          VARCHAR(10) NOT NULL DEFAULT 'MAXIMIZE',
  population_size    INTEGER NOT NULL DEFAULT 0,
  generations        INTEGER NOT NULL DEFAULT 0,
  parameter_ranges   JSONB,
  best_individual    JSONB,
  best_fitness       DOUBLE PRECISION,
  convergence_data   JSONB,
  final_population   JSONB,
  start_time         TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  end_time           TIMESTAMPTZ,
  status             VARCHAR(20) NOT NULL DEFAULT 'running',
  error_message      TEXT NOT NULL DEFAULT '',
  heartbeat_timeout  INTERVAL NOT NULL DEFAULT '5 minutes',
  heartbeat_at       TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  stop_requested     BOOLEAN NOT NULL DEFAULT FALSE,
  created_at         TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT optimization_type_has_1_to_50_characters CHECK (char_length(optimization_type) BETWEEN 1 AND 50),
  CONSTRAINT objective_function_has_1_to_50_characters CHECK (char_length(objective_function) BETWEEN 1 AND 50),
  CONSTRAINT direction_is_known CHECK (direction IN ('MAXIMIZE', 'MINIMIZE')),
  CONSTRAINT population_size_is_not_negative CHECK (population_size >= 0),
  CONSTRAINT generations_is_not_negative CHECK (generations >= 0),
  CONSTRAINT parameter_ranges_has_at_most_64_kib CHECK (octet_length(parameter_ranges::text) <= 65536),
  CONSTRAINT best_individual_has_at_most_64_kib CHECK (octet_length(best_individual::text) <= 65536),
  CONSTRAINT best_fitness_is_a_finite_number CHECK (abs(best_fitness) < 'Infinity'),
  CONSTRAINT convergence_data_has_at_most_1_mib CHECK (octet_length(convergence_data::text) <= 1048576),
  CONSTRAINT final_population_has_at_most_1_mib CHECK (octet_length(final_population::text) <= 1048576),
  CONSTRAINT optimization_status_is_known CHECK (status IN ('running', 'completed', 'failed', 'stopped')),
  CONSTRAINT a_run_that_runs_has_no_end CHECK ((status = 'running') = (end_time IS NULL)),
  CONSTRAINT error_message_has_at_most_10000_characters CHECK (char_length(error_message) <= 10000),
  CONSTRAINT heartbeat_timeout_is_1_second_to_7_days CHECK (heartbeat_timeout BETWEEN '1 second' AND '7 days')
);

CREATE INDEX idx_optimization_runs_started ON ai_trading.optimization_runs (start_time DESC, run_id DESC);
CREATE INDEX idx_optimization_runs_model_time ON ai_trading.optimization_runs (model_id, start_time DESC, run_id DESC);
CREATE INDEX idx_optimization_runs_active ON ai_trading.optimization_runs (heartbeat_at) WHERE status = 'running';

CREATE TABLE ai_trading.optimization_generations (
  run_id               UUID NOT NULL REFERENCES ai_trading.optimization_runs,
  generation           INTEGER NOT NULL,
  best_fitness         DOUBLE PRECISION NOT NULL,
  average_fitness      DOUBLE PRECISION,
  population_diversity DOUBLE PRECISION,
  best_individual      JSONB,
  individual_count     INTEGER NOT NULL,
  content_hash         BYTEA NOT NULL,
  created_at           TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (run_id, generation),
  CONSTRAINT generation_is_not_negative CHECK (generation >= 0),
  CONSTRAINT best_fitness_is_a_finite_number CHECK (abs(best_fitness) < 'Infinity'),
  CONSTRAINT average_fitness_is_a_finite_number CHECK (abs(average_fitness) < 'Infinity'),
  CONSTRAINT population_diversity_is_a_finite_number_and_not_negative
    CHECK (population_diversity >= 0 AND population_diversity < 'Infinity'),
  CONSTRAINT best_individual_has_at_most_64_kib CHECK (octet_length(best_individual::text) <= 65536)
);

COMMENT ON COLUMN ai_trading.optimization_generations.content_hash IS
  'SHA-256 of what was sent, individuals and all: it tells a repetition from another generation of the same number.';

CREATE TABLE ai_trading.optimization_individuals (
  individual_id   UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  run_id          UUID NOT NULL REFERENCES ai_trading.optimization_runs,
  generation      INTEGER NOT NULL,
  individual_rank INTEGER NOT NULL,
  genes           JSONB NOT NULL,
  fitness_score   DOUBLE PRECISION NOT NULL,
  objectives      JSONB,
  is_new          BOOLEAN NOT NULL,
  created_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT individual_rank_is_at_least_1 CHECK (individual_rank >= 1),
  CONSTRAINT genes_has_at_most_64_kib CHECK (octet_length(genes::text) <= 65536),
  CONSTRAINT fitness_score_is_a_finite_number CHECK (abs(fitness_score) < 'Infinity'),
  CONSTRAINT objectives_has_at_most_64_kib CHECK (octet_length(objectives::text) <= 65536)
);

COMMENT ON COLUMN ai_trading.optimization_individuals.is_new IS
  'Whether the run had no individual with the same genes and fitness before.';

CREATE UNIQUE INDEX idx_optimization_individuals_run_gen
  ON ai_trading.optimization_individuals (run_id, generation, individual_rank);
CREATE INDEX idx_optimization_individuals_fitness
  ON ai_trading.optimization_individuals (run_id, fitness_score DESC, individual_id DESC) WHERE is_new;

-- A run as the message OptimizationRun has it, with its largest fields or without. The planner inlines it.
CREATE FUNCTION ai_trading.optimization_run_message(r ai_trading.optimization_runs, summary BOOLEAN) RETURNS TABLE (
  run_id TEXT, model_id TEXT, optimization_type TEXT, objective_function TEXT, direction TEXT, state TEXT,
  population_size INTEGER, generations INTEGER, parameter_ranges JSONB, best_individual JSONB,
  best_fitness DOUBLE PRECISION, convergence_data JSONB, final_population JSONB, error_message TEXT,
  heartbeat_timeout INTERVAL, stop_requested BOOLEAN, start_time TIMESTAMPTZ, heartbeat_time TIMESTAMPTZ,
  end_time TIMESTAMPTZ
) LANGUAGE sql STABLE AS $$
  SELECT
    r.run_id::text, r.model_id::text, r.optimization_type::text, r.objective_function::text,
    'FITNESS_DIRECTION_' || r.direction, 'OPTIMIZATION_STATE_' || upper(r.status), r.population_size, r.generations,
    r.parameter_ranges, r.best_individual, r.best_fitness, CASE WHEN NOT summary THEN r.convergence_data END,
    CASE WHEN NOT summary THEN r.final_population END, r.error_message, r.heartbeat_timeout, r.stop_requested,
    r.start_time, r.heartbeat_at, r.end_time
$$;

-- A generation as the message Generation has it. The planner inlines it.
CREATE FUNCTION ai_trading.generation_message(g ai_trading.optimization_generations) RETURNS TABLE (
  run_id TEXT, model_id TEXT, generation INTEGER, best_fitness DOUBLE PRECISION, average_fitness DOUBLE PRECISION,
  population_diversity DOUBLE PRECISION, best_individual JSONB, individual_count INTEGER, create_time TIMESTAMPTZ
) LANGUAGE sql STABLE AS $$
  SELECT
    g.run_id::text, r.model_id::text, g.generation, g.best_fitness, g.average_fitness, g.population_diversity,
    g.best_individual, g.individual_count, g.created_at
  FROM ai_trading.optimization_runs AS r
  WHERE r.run_id = g.run_id
$$;

-- An individual as the message Individual has it. The planner inlines it.
CREATE FUNCTION ai_trading.individual_message(i ai_trading.optimization_individuals) RETURNS TABLE (
  genes JSONB, fitness_score DOUBLE PRECISION, objectives JSONB, generation INTEGER, individual_rank INTEGER,
  create_time TIMESTAMPTZ
) LANGUAGE sql STABLE AS $$
  SELECT i.genes, i.fitness_score, i.objectives, i.generation, i.individual_rank, i.created_at
$$;

-- The generations of a run as the message ConvergencePoint has them.
CREATE FUNCTION ai_trading.convergence_point_message(run UUID) RETURNS TABLE (
  generation INTEGER, best_so_far DOUBLE PRECISION, best_fitness DOUBLE PRECISION, average_fitness DOUBLE PRECISION,
  population_diversity DOUBLE PRECISION
) LANGUAGE sql STABLE AS $$
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

-- Records a generation of a running run with its individuals, ranks them, and keeps the best of the run. Returns no row
-- if there is no such run; else RECORDED, DUPLICATE, DIFFERS if the generation is there with other content, or ENDED.
--
-- It looks by key: a plan that was made while the tables were empty would otherwise scan them until the next ANALYZE.
CREATE FUNCTION ai_trading.record_generation(
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

CREATE CONSTRAINT TRIGGER log_recorded_generation
AFTER INSERT ON ai_trading.optimization_generations
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
EXECUTE FUNCTION ai_trading.log_event('GENERATION', 'RECORDED', 'generation_message');

-- Fails the runs whose optimizers have been silent for too long, and returns how many they were.
CREATE FUNCTION ai_trading.fail_silent_runs() RETURNS BIGINT
LANGUAGE sql VOLATILE AS $$
  WITH failed AS (
    UPDATE ai_trading.optimization_runs AS r
    SET status = 'failed', end_time = clock_timestamp(),
      error_message = format('heartbeat lost: none for %s s', extract(epoch FROM r.heartbeat_timeout)::DOUBLE PRECISION)
    WHERE r.status = 'running' AND r.heartbeat_at + r.heartbeat_timeout < clock_timestamp()
    RETURNING r.run_id
  )
  SELECT count(*) FROM failed
$$;

GRANT SELECT, INSERT, UPDATE ON ai_trading.optimization_runs TO ai_trading_service;
GRANT SELECT, INSERT ON ai_trading.optimization_generations, ai_trading.optimization_individuals TO ai_trading_service;
REVOKE ALL ON FUNCTION ai_trading.optimization_run_message, ai_trading.generation_message,
  ai_trading.individual_message, ai_trading.convergence_point_message, ai_trading.record_generation,
  ai_trading.fail_silent_runs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai_trading.optimization_run_message, ai_trading.generation_message,
  ai_trading.individual_message, ai_trading.convergence_point_message, ai_trading.record_generation,
  ai_trading.fail_silent_runs TO ai_trading_service;

-- migrate:down
DROP FUNCTION ai_trading.fail_silent_runs;
DROP FUNCTION ai_trading.record_generation;
DROP FUNCTION ai_trading.convergence_point_message;
DROP FUNCTION ai_trading.individual_message;
DROP FUNCTION ai_trading.generation_message;
DROP FUNCTION ai_trading.optimization_run_message;
DROP TABLE ai_trading.optimization_individuals;
DROP TABLE ai_trading.optimization_generations;
DROP TABLE ai_trading.optimization_runs;
