-- name: start_optimization_run
INSERT INTO optimization_runs AS r (
  run_id, model_id, optimization_type, objective_function, direction, population_size, generations, parameter_ranges,
  heartbeat_timeout
)
VALUES (
  :run_id, :model_id, :optimization_type, :objective_function, coalesce(:direction, 'MAXIMIZE'), :population_size,
  :generations, :parameter_ranges, coalesce(:heartbeat_timeout, INTERVAL '5 minutes')
)
ON CONFLICT (run_id) DO UPDATE SET run_id = EXCLUDED.run_id
WHERE (
  r.model_id, r.optimization_type, r.objective_function, r.direction, r.population_size, r.generations,
  r.parameter_ranges, r.heartbeat_timeout
) IS NOT DISTINCT FROM (
  EXCLUDED.model_id, EXCLUDED.optimization_type, EXCLUDED.objective_function, EXCLUDED.direction,
  EXCLUDED.population_size, EXCLUDED.generations, EXCLUDED.parameter_ranges, EXCLUDED.heartbeat_timeout
)
RETURNING r.xmax <> 0 AS duplicate

-- name: heartbeat_optimization_run
UPDATE optimization_runs SET heartbeat_at = clock_timestamp()
WHERE run_id = :run_id AND status = 'running'
RETURNING stop_requested

-- name: record_generation
SELECT g.outcome, g.stop_requested
FROM record_generation(
  :run_id, :generation, :best_fitness, :average_fitness, :population_diversity, :best_individual, :genes,
  :fitness_score, :objectives
) AS g

-- name: get_generation
SELECT m.*
FROM optimization_generations AS g, generation_message(g) AS m
WHERE g.run_id = :run_id AND g.generation = :generation

-- name: end_optimization_run
UPDATE optimization_runs AS r
SET status = :status, end_time = coalesce(r.end_time, clock_timestamp()), convergence_data = :convergence_data,
  final_population = :final_population, error_message = :error_message,
  best_individual = CASE WHEN g.best_is_given THEN :best_individual::jsonb ELSE r.best_individual END,
  best_fitness = CASE WHEN g.best_is_given THEN :best_fitness::float8 ELSE r.best_fitness END
FROM (SELECT num_nonnulls(:best_individual::jsonb, :best_fitness::float8) > 0 AS best_is_given) AS g
WHERE r.run_id = :run_id
  AND (r.status = 'running' OR (r.status, r.convergence_data, r.final_population, r.error_message)
    IS NOT DISTINCT FROM (:status, :convergence_data, :final_population, :error_message)
    AND (NOT g.best_is_given OR (r.best_individual, r.best_fitness)
      IS NOT DISTINCT FROM (:best_individual::jsonb, :best_fitness::float8)))
RETURNING r.status

-- name: stop_optimization_run
UPDATE optimization_runs SET stop_requested = TRUE
WHERE run_id = :run_id AND status = 'running'

-- name: get_optimization_run
SELECT m.*
FROM optimization_runs AS r, optimization_run_message(r, FALSE) AS m
WHERE r.run_id = :run_id

-- name: list_optimization_runs
SELECT r.start_time AS page_time, r.run_id AS page_id, m.*
FROM optimization_runs AS r, optimization_run_message(r, TRUE) AS m
WHERE (:page_time::timestamptz IS NULL OR (r.start_time, r.run_id) < (:page_time, :page_id::uuid))
  AND (:model_id::text = '' OR r.model_id = nullif(:model_id, '')::uuid)
  AND (:state::text IS NULL OR r.status = lower(:state))
ORDER BY r.start_time DESC, r.run_id DESC
LIMIT :page_limit

-- name: get_direction
SELECT r.direction
FROM optimization_runs AS r
WHERE r.run_id = :run_id

-- name: list_largest_individuals
SELECT i.fitness_score AS page_score, i.individual_id AS page_id, m.*
FROM optimization_individuals AS i, individual_message(i) AS m
WHERE i.run_id = :run_id AND i.is_new
  AND (:page_score::float8 IS NULL OR (i.fitness_score, i.individual_id) < (:page_score, :page_id::uuid))
ORDER BY i.fitness_score DESC, i.individual_id DESC
LIMIT :page_limit

-- name: list_smallest_individuals
SELECT i.fitness_score AS page_score, i.individual_id AS page_id, m.*
FROM optimization_individuals AS i, individual_message(i) AS m
WHERE i.run_id = :run_id AND i.is_new
  AND (:page_score::float8 IS NULL OR (i.fitness_score, i.individual_id) > (:page_score, :page_id::uuid))
ORDER BY i.fitness_score, i.individual_id
LIMIT :page_limit

-- name: list_individuals_by_rank
SELECT i.individual_rank AS page_number, m.*
FROM optimization_individuals AS i, individual_message(i) AS m
WHERE i.run_id = :run_id AND i.generation = :generation AND i.individual_rank > coalesce(:page_number, 0)
ORDER BY i.individual_rank
LIMIT :page_limit

-- name: get_convergence
SELECT m.generation AS page_number, m.*
FROM convergence_point_message(:run_id) AS m
WHERE m.generation > coalesce(:page_number, -1)
ORDER BY m.generation
LIMIT :page_limit
