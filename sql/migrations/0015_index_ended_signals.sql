-- Signals in one state are found without reading past those in the others: what has ended in indexes that an append does
-- not touch, what is ACTIVE in small ones. The new ones first, so that reads wait for a moment only.

-- migrate:up
CREATE INDEX idx_ai_signals_ended_time ON ai_trading.ai_signals (signal_timestamp DESC) WHERE status <> 'ACTIVE';
CREATE INDEX idx_ai_signals_active_time ON ai_trading.ai_signals (signal_timestamp DESC) WHERE status = 'ACTIVE';
CREATE INDEX idx_ai_signals_active_model_time ON ai_trading.ai_signals (model_id, signal_timestamp DESC)
  WHERE status = 'ACTIVE';
CREATE INDEX idx_ai_signals_model_ended ON ai_trading.ai_signals (model_id, status, signal_timestamp DESC)
  WHERE status <> 'ACTIVE';
DROP INDEX ai_trading.idx_ai_signals_model_status;
ALTER INDEX ai_trading.idx_ai_signals_model_ended RENAME TO idx_ai_signals_model_status;

-- migrate:down
DROP INDEX ai_trading.idx_ai_signals_model_status;
CREATE INDEX idx_ai_signals_model_status ON ai_trading.ai_signals (model_id, status, signal_timestamp DESC);
DROP INDEX ai_trading.idx_ai_signals_active_model_time;
DROP INDEX ai_trading.idx_ai_signals_active_time;
DROP INDEX ai_trading.idx_ai_signals_ended_time;
