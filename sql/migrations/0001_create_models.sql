-- The registry of models, and the role that the service acts as.

-- migrate:up
DO $$
BEGIN
  -- Whoever may not create roles may not even if there is this one.
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ai_trading_service') THEN
    CREATE ROLE ai_trading_service NOLOGIN;
  END IF;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL;
  WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'let an administrator run: CREATE ROLE ai_trading_service NOLOGIN; GRANT ai_trading_service TO %',
      quote_ident(current_user);
END
$$;

-- From PostgreSQL 16 on, who created a role is its member, but may not act as it.
DO $$
BEGIN
  SET LOCAL ROLE ai_trading_service;
  RESET ROLE;
EXCEPTION
  WHEN insufficient_privilege THEN EXECUTE format('GRANT ai_trading_service TO %I', current_user);
END
$$;

GRANT USAGE ON SCHEMA ai_trading TO ai_trading_service;
GRANT SELECT ON ai_trading.schema_migrations TO ai_trading_service;

CREATE TABLE ai_trading.ai_models (
  model_id            UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  model_name          VARCHAR NOT NULL,
  model_type          VARCHAR NOT NULL,
  model_subtype       VARCHAR NOT NULL DEFAULT '',
  version             VARCHAR NOT NULL,
  description         TEXT NOT NULL DEFAULT '',
  configuration       JSONB,
  performance_metrics JSONB,
  is_active           BOOLEAN NOT NULL DEFAULT TRUE,
  created_at          TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  updated_at          TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT model_name_and_version_are_unique UNIQUE (model_name, version),
  CONSTRAINT model_name_has_1_to_100_characters CHECK (char_length(model_name) BETWEEN 1 AND 100),
  CONSTRAINT model_type_has_1_to_50_characters CHECK (char_length(model_type) BETWEEN 1 AND 50),
  CONSTRAINT model_subtype_has_at_most_50_characters CHECK (char_length(model_subtype) <= 50),
  CONSTRAINT version_has_1_to_20_characters CHECK (char_length(version) BETWEEN 1 AND 20),
  CONSTRAINT description_has_at_most_10000_characters CHECK (char_length(description) <= 10000),
  CONSTRAINT configuration_has_at_most_64_kib CHECK (octet_length(configuration::text) <= 65536),
  CONSTRAINT performance_metrics_has_at_most_64_kib CHECK (octet_length(performance_metrics::text) <= 65536)
);

CREATE INDEX idx_ai_models_created ON ai_trading.ai_models (created_at DESC, model_id DESC);

-- MLflow moved from fixed stages to aliases for a reason: which version plays which part is the user's to name.
CREATE TABLE ai_trading.ai_model_aliases (
  model_name VARCHAR NOT NULL,
  alias      VARCHAR NOT NULL,
  model_id   UUID NOT NULL REFERENCES ai_trading.ai_models ON DELETE CASCADE,
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (model_name, alias),
  CONSTRAINT alias_starts_with_a_lower_case_letter_and_has_at_most_50_of_them
    CHECK (alias ~ '^[a-z][a-z0-9_-]{0,49}$')
);

CREATE INDEX idx_ai_model_aliases_model ON ai_trading.ai_model_aliases (model_id);

-- A model as the message Model has it. The planner inlines it.
CREATE FUNCTION ai_trading.model_message(a ai_trading.ai_models) RETURNS TABLE (
  model_id TEXT, model_name TEXT, version TEXT, model_type TEXT, model_subtype TEXT, description TEXT,
  configuration JSONB, performance_metrics JSONB, active BOOLEAN, aliases TEXT[], create_time TIMESTAMPTZ,
  update_time TIMESTAMPTZ
) LANGUAGE sql STABLE AS $$
  SELECT
    a.model_id::text, a.model_name::text, a.version::text, a.model_type::text, a.model_subtype::text, a.description,
    a.configuration, a.performance_metrics, a.is_active,
    ARRAY(SELECT named.alias::text FROM ai_trading.ai_model_aliases AS named WHERE named.model_id = a.model_id ORDER BY 1),
    a.created_at, a.updated_at
$$;

GRANT SELECT, INSERT, UPDATE ON ai_trading.ai_models TO ai_trading_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON ai_trading.ai_model_aliases TO ai_trading_service;
REVOKE ALL ON FUNCTION ai_trading.model_message FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai_trading.model_message TO ai_trading_service;

-- migrate:down
DROP FUNCTION ai_trading.model_message;
DROP TABLE ai_trading.ai_model_aliases;
DROP TABLE ai_trading.ai_models;
REVOKE SELECT ON ai_trading.schema_migrations FROM ai_trading_service;
REVOKE USAGE ON SCHEMA ai_trading FROM ai_trading_service;
