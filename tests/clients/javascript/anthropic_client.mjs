// The official `@anthropic-ai/sdk` package.
import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import * as scenes from "./scenes.mjs";

const { tell, AGENT, SMOLLM2 } = scenes;
const client = new Anthropic({ baseURL: `${scenes.ROOT_URL}/api`, apiKey: scenes.KEY, maxRetries: 0 });
const asked = [{ role: "user", content: scenes.QUESTION }];

const answer = await client.messages.create({ model: SMOLLM2, messages: asked, max_tokens: 32 });
tell("whole", { text: answer.content[0].text, output_tokens: answer.usage.output_tokens, id: answer.id });

const stream = client.messages.stream({ model: SMOLLM2, messages: asked, max_tokens: 32 });
const pieces = [];
stream.on("text", (piece) => pieces.push(piece));
const final = await stream.finalMessage();
tell("stream", {
  pieces: pieces.length,
  text: pieces.join(""),
  whole: final.content[0].text,
  output_tokens: final.usage.output_tokens,
});

const tools = [{ name: "get_weather", description: "Weather of a city", input_schema: scenes.WEATHER }];
const conversation = [{ role: "user", content: "Weather?" }];
const called = await client.messages.stream({ model: AGENT, messages: conversation, max_tokens: 500, tools }).finalMessage();
const use = called.content.find((block) => block.type === "tool_use");
conversation.push({ role: "assistant", content: called.content });
conversation.push({ role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: "sunny" }] });
const after = await client.messages.create({ model: AGENT, messages: conversation, max_tokens: 500, tools });
tell("tools", { name: use.name, arguments: use.input, reason: called.stop_reason, text: after.content[0].text });

const parsed = await client.messages.parse({
  model: AGENT,
  messages: asked,
  max_tokens: 500,
  output_config: { format: zodOutputFormat(scenes.Weather) },
});
tell("structured", { value: parsed.parsed_output });

const error = await scenes.failure(() => client.messages.create({ model: scenes.NOBODY, messages: asked, max_tokens: 5 }));
tell("error", { kind: error.constructor.name, status: error.status, error_type: error.error.error.error_type });
const stranger = new Anthropic({ baseURL: `${scenes.ROOT_URL}/api`, apiKey: scenes.WRONG_KEY, maxRetries: 0 });
const refused = await scenes.failure(() => stranger.messages.create({ model: SMOLLM2, messages: asked, max_tokens: 5 }));
tell("unauthorized", { kind: refused.constructor.name, status: refused.status });
const broken = await scenes.failure(() =>
  client.messages.stream({ model: scenes.CUT, messages: asked, max_tokens: 500 }).finalMessage(),
);
tell("broken", { kind: broken.constructor.name });

const running = await client.messages.create({ model: scenes.LOREM, messages: asked, max_tokens: 500, stream: true });
let number = 0;
let id = null;
for await (const event of running) {
  if (event.type === "message_start") id = event.message.id;
  if (event.type === "content_block_delta" && ++number === scenes.PIECES_BEFORE_LEAVING) {
    tell("cancel", { id });
    running.controller.abort();
    break;
  }
}

const count = await client.messages.countTokens({ model: SMOLLM2, messages: asked });
tell("count", { input_tokens: count.input_tokens });
