// OpenRouter's official `@openrouter/sdk` package.
import { OpenRouter } from "@openrouter/sdk";
import * as scenes from "./scenes.mjs";

const { tell, AGENT, SMOLLM2 } = scenes;
const client = new OpenRouter({ apiKey: scenes.KEY, serverURL: scenes.BASE_URL });
const asked = [{ role: "user", content: scenes.QUESTION }];
const send = (chatRequest, from = client, options = {}) => from.chat.send({ chatRequest }, options);

const answer = await send({ model: SMOLLM2, messages: asked, maxTokens: 32, temperature: 0 });
tell("whole", { text: answer.choices[0].message.content, output_tokens: answer.usage.completionTokens, id: answer.id });

const pieces = [];
let tokens = 0;
for await (const chunk of await send({ model: SMOLLM2, messages: asked, maxTokens: 32, temperature: 0, stream: true })) {
  for (const choice of chunk.choices) if (choice.delta.content) pieces.push(choice.delta.content);
  tokens = chunk.usage?.completionTokens ?? tokens;
}
tell("stream", { pieces: pieces.length, text: pieces.join(""), output_tokens: tokens });

const conversation = [{ role: "user", content: "Weather?" }];
const called = (await send({ model: AGENT, messages: conversation, tools: [scenes.WEATHER_TOOL] })).choices[0];
const [call] = called.message.toolCalls;
conversation.push(called.message, { role: "tool", toolCallId: call.id, content: "sunny" });
const after = await send({ model: AGENT, messages: conversation, tools: [scenes.WEATHER_TOOL] });
tell("tools", {
  name: call.function.name,
  arguments: JSON.parse(call.function.arguments),
  reason: called.finishReason,
  text: after.choices[0].message.content,
});

const responseFormat = { type: "json_schema", jsonSchema: { name: "weather", schema: scenes.WEATHER, strict: true } };
const formed = await send({ model: AGENT, messages: asked, responseFormat });
tell("structured", { value: JSON.parse(formed.choices[0].message.content) });

const error = await scenes.failure(() => send({ model: scenes.NOBODY, messages: asked }));
tell("error", { kind: error.constructor.name, status: error.statusCode, error_type: error.error.metadata.error_type });
const stranger = new OpenRouter({ apiKey: scenes.WRONG_KEY, serverURL: scenes.BASE_URL });
const refused = await scenes.failure(() => send({ model: SMOLLM2, messages: asked }, stranger));
tell("unauthorized", { kind: refused.constructor.name, status: refused.statusCode });
let last = null;
for await (const chunk of await send({ model: scenes.CUT, messages: asked, stream: true })) last = chunk;
// This client hands the error of a stream on as a member of its last chunk.
tell("broken", { kind: last.error ? "error" : null });

const running = await send({ model: scenes.LOREM, messages: asked, stream: true });
let number = 0;
for await (const chunk of running) {
  if (++number === scenes.PIECES_BEFORE_LEAVING) {
    tell("cancel", { id: chunk.id });
    break;
  }
}

const listed = await client.models.list();
tell("models", { ids: (listed.data ?? listed.result.data).map((model) => model.id) });
