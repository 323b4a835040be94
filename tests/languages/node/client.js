// A model and a bot in one: registers, publishes on the stream, subscribes, and is refused once.
// usage: node client.js <target> <folder of .proto files> ...   prints what it was told, as one JSON object
"use strict";

const { once } = require("node:events");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const { loadSync } = require("@grpc/proto-loader");

const [target, ...includeDirs] = process.argv.slice(2);
const ours = ["ai_grpc/v1/models.proto", "ai_grpc/v1/signals.proto"];
const files = [...ours, "google/rpc/status.proto", "google/rpc/error_details.proto"];
const definition = loadSync(files, { includeDirs, keepCase: true, longs: String, enums: String, defaults: true });
const { ModelService, SignalService } = grpc.loadPackageDefinition(definition).ai_grpc.v1;
const deadline = () => ({ deadline: Date.now() + 20_000 });

function aSignal(model_id, number, changes) {
  return {
    signal_id: `00000000-0000-4000-8000-00000000000${number}`,
    model_id,
    symbol: "EURUSD",
    signal_type: "SIGNAL_TYPE_SELL",
    confidence: 0.8734,
    price_target: "1.2345",
    signal_time: { seconds: 1_780_000_000, nanos: 123_456_000 },
    metadata: { fields: { rsi: { numberValue: 31 }, setup: { stringValue: "reversal" } } },
    ...changes,
  };
}

async function register(models) {
  const request = { model_name: "from-node", version: "1", model_type: "reinforcement_learning" };
  return (await promisify(models.RegisterModel.bind(models))(request, deadline())).model;
}

async function publish(signals, model_id) {
  const call = signals.PublishSignalStream(deadline());
  const answers = [];
  call.on("data", (answer) => answers.push(answer));
  for (const number of [1, 2, 3]) call.write({ signals: [aSignal(model_id, number)] });
  call.end();
  const [status] = await once(call, "status");
  return { code: status.code, answers };
}

async function subscribe(signals, count) {
  const call = signals.SubscribeSignals({ earliest: {}, filter: { symbols: ["EURUSD"] } }, deadline());
  const messages = [];
  call.on("data", (message) => {
    messages.push(message);
    count -= message.batch?.events.length ?? 0;
    if (count <= 0) call.cancel();
  });
  const [error] = await once(call, "error");
  if (error.code !== grpc.status.CANCELLED) throw error;
  return messages;
}

async function refused(signals, model_id) {
  const request = { signals: [aSignal(model_id, 4, { confidence: 1.5, symbol: "" })] };
  try {
    await promisify(signals.PublishSignals.bind(signals))(request, deadline());
  } catch (error) {
    const [encoded] = error.metadata.get("grpc-status-details-bin");
    const status = definition["google.rpc.Status"].deserialize(encoded);
    const details = status.details.map(({ type_url, value }) => definition[type_url.split("/")[1]].deserialize(value));
    return { code: grpc.status[error.code], details };
  }
}

async function main() {
  const models = new ModelService(target, grpc.credentials.createInsecure());
  const signals = new SignalService(target, grpc.credentials.createInsecure());
  const model = await register(models);
  const published = await publish(signals, model.model_id);
  const messages = await subscribe(signals, 3);
  const refusal = await refused(signals, model.model_id);
  console.log(JSON.stringify({ model, published, messages, refusal }));
  models.close();
  signals.close();
}

main();
