-- Anomalies that models find, and what those who watch them are told.

-- migrate:up
CREATE TABLE ai_trading.anomaly_detections (
  anomaly_id           UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  model_id             UUID NOT NULL REFERENCES ai_trading.ai_models,
  symbol               VARCHAR NOT NULL,
  detection_timestamp  TIMESTAMPTZ,
  anomaly_type         VARCHAR NOT NULL,
  severity_score       DOUBLE PRECISION NOT NULL,
  confidence           DECIMAL(5, 4),
  market_data_context  JSONB,
  anomaly_details      JSONB,
  resolved             BOOLEAN NOT NULL DEFAULT FALSE,
  resolution_timestamp TIMESTAMPTZ,
  resolution_note      TEXT NOT NULL DEFAULT '',
  sequence             BIGINT,
  created_at           TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT symbol_has_1_to_32_characters CHECK (char_length(symbol) BETWEEN 1 AND 32),
  CONSTRAINT detection_time_is_required CHECK (detection_timestamp IS NOT NULL),
  CONSTRAINT detection_time_is_from_the_year_1_to_9999
    CHECK (detection_timestamp >= '0001-01-01 00:00Z' AND detection_timestamp < '10000-01-01 00:00Z'),
  CONSTRAINT resolve_time_is_from_the_year_1_to_9999
    CHECK (resolution_timestamp >= '0001-01-01 00:00Z' AND resolution_timestamp < '10000-01-01 00:00Z'),
  CONSTRAINT anomaly_type_has_1_to_50_characters CHECK (char_length(anomaly_type) BETWEEN 1 AND 50),
  CONSTRAINT severity_score_is_a_number_from_0_on CHECK (severity_score >= 0 AND severity_score < 'Infinity'),
  CONSTRAINT confidence_is_between_0_and_1 CHECK (confidence BETWEEN 0 AND 1),
  CONSTRAINT market_data_context_is_an_object CHECK (jsonb_typeof(market_data_context) = 'object'),
  CONSTRAINT market_data_context_has_at_most_64_kib CHECK (octet_length(market_data_context::text) <= 65536),
  CONSTRAINT anomaly_details_is_an_object CHECK (jsonb_typeof(anomaly_details) = 'object'),
  CONSTRAINT anomaly_details_has_at_most_64_kib CHECK (octet_length(anomaly_details::text) <= 65536),
  CONSTRAINT resolution_note_has_at_most_1000_characters CHECK (char_length(resolution_note) <= 1000),
  CONSTRAINT an_open_anomaly_has_no_resolution
    CHECK (resolved OR (resolution_timestamp IS NULL AND resolution_note = ''))
);

COMMENT ON COLUMN ai_trading.anomaly_detections.sequence IS 'Where in event_log the anomaly was reported; outlives the log row.';

CREATE INDEX idx_anomaly_detections_time ON ai_trading.anomaly_detections (detection_timestamp DESC, anomaly_id DESC);
CREATE INDEX idx_anomaly_detections_symbol_time
  ON ai_trading.anomaly_detections (symbol, detection_timestamp DESC, anomaly_id DESC);
CREATE INDEX idx_anomaly_detections_model_time
  ON ai_trading.anomaly_detections (model_id, detection_timestamp DESC, anomaly_id DESC);
CREATE INDEX idx_anomaly_detections_severity ON ai_trading.anomaly_detections (severity_score DESC);
CREATE INDEX idx_anomaly_detections_unresolved
  ON ai_trading.anomaly_detections (detection_timestamp DESC, anomaly_id DESC) WHERE NOT resolved;
CREATE INDEX idx_anomaly_detections_symbol_unresolved
  ON ai_trading.anomaly_detections (symbol, detection_timestamp DESC, anomaly_id DESC) WHERE NOT resolved;
CREATE INDEX idx_anomaly_detections_current ON ai_trading.anomaly_detections (sequence) WHERE NOT resolved;

-- An anomaly as the message Anomaly has it. The planner inlines it.
CREATE FUNCTION ai_trading.anomaly_message(a ai_trading.anomaly_detections) RETURNS TABLE (
  anomaly_id TEXT, model_id TEXT, symbol TEXT, detection_time TIMESTAMPTZ, anomaly_type TEXT,
  severity_score DOUBLE PRECISION, confidence DOUBLE PRECISION, market_data_context JSONB, anomaly_details JSONB,
  resolved BOOLEAN, resolve_time TIMESTAMPTZ, resolution_note TEXT, create_time TIMESTAMPTZ
) LANGUAGE sql STABLE AS $$
  SELECT
    a.anomaly_id::text, a.model_id::text, a.symbol::text, a.detection_timestamp, a.anomaly_type::text,
    a.severity_score, a.confidence::float8, a.market_data_context, a.anomaly_details,
    a.resolved, a.resolution_timestamp, a.resolution_note, a.created_at
$$;

-- The events of a row come in the order of these triggers' names. Whoever follows them knows at any time which anomalies
-- are open, also when they were imported as resolved, or opened again.
CREATE CONSTRAINT TRIGGER anomaly_1_reported AFTER INSERT ON ai_trading.anomaly_detections
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  EXECUTE FUNCTION ai_trading.log_event('ANOMALY', 'REPORTED', 'anomaly_message', 'anomaly_id');

CREATE CONSTRAINT TRIGGER anomaly_2_reported_as_resolved AFTER INSERT ON ai_trading.anomaly_detections
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.resolved)
  EXECUTE FUNCTION ai_trading.log_event('ANOMALY', 'RESOLVED', 'anomaly_message');

CREATE CONSTRAINT TRIGGER anomaly_3_resolved AFTER UPDATE ON ai_trading.anomaly_detections
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.resolved AND NOT OLD.resolved)
  EXECUTE FUNCTION ai_trading.log_event('ANOMALY', 'RESOLVED', 'anomaly_message');

CREATE CONSTRAINT TRIGGER anomaly_4_opened_again AFTER UPDATE ON ai_trading.anomaly_detections
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.resolved AND NOT NEW.resolved)
  EXECUTE FUNCTION ai_trading.log_event('ANOMALY', 'REPORTED', 'anomaly_message', 'anomaly_id');

GRANT SELECT, INSERT, UPDATE (anomaly_id, resolved, resolution_timestamp, resolution_note)
  ON ai_trading.anomaly_detections TO ai_trading_service;
REVOKE ALL ON FUNCTION ai_trading.anomaly_message FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai_trading.anomaly_message TO ai_trading_service;

-- migrate:down
DROP FUNCTION ai_trading.anomaly_message;
DROP TABLE ai_trading.anomaly_detections;
