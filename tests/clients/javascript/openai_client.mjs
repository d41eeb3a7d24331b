// The official `openai` package.
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import * as scenes from "./scenes.mjs";

const { tell, AGENT, SMOLLM2 } = scenes;
const client = new OpenAI({ baseURL: scenes.BASE_URL, apiKey: scenes.KEY, maxRetries: 0 });
const asked = [{ role: "user", content: scenes.QUESTION }];

const answer = await client.chat.completions.create({ model: SMOLLM2, messages: asked, max_tokens: 32, temperature: 0 });
tell("whole", { text: answer.choices[0].message.content, output_tokens: answer.usage.completion_tokens, id: answer.id });

const stream = client.chat.completions.stream({ model: SMOLLM2, messages: asked, max_tokens: 32, temperature: 0 });
const pieces = [];
stream.on("content", (piece) => pieces.push(piece));
const final = await stream.finalChatCompletion();
tell("stream", {
  pieces: pieces.length,
  text: pieces.join(""),
  whole: final.choices[0].message.content,
  output_tokens: final.usage.completion_tokens,
});

const calls = [];
const runner = client.chat.completions.runTools({
  model: AGENT,
  stream: true,
  messages: [{ role: "user", content: "Weather?" }],
  tools: [
    {
      type: "function",
      function: {
        ...scenes.WEATHER_TOOL.function,
        parse: JSON.parse,
        function: (given) => {
          calls.push(given);
          return "sunny";
        },
      },
    },
  ],
});
const text = await runner.finalContent();
tell("tools", { name: "get_weather", arguments: calls[0], reason: "tool_calls", text });

const parsed = await client.chat.completions.parse({
  model: AGENT,
  messages: asked,
  response_format: zodResponseFormat(scenes.Weather, "weather"),
});
tell("structured", { value: parsed.choices[0].message.parsed });

const error = await scenes.failure(() => client.chat.completions.create({ model: scenes.NOBODY, messages: asked }));
tell("error", { kind: error.constructor.name, status: error.status, error_type: error.error.metadata.error_type });
const stranger = new OpenAI({ baseURL: scenes.BASE_URL, apiKey: scenes.WRONG_KEY, maxRetries: 0 });
const refused = await scenes.failure(() => stranger.chat.completions.create({ model: SMOLLM2, messages: asked }));
tell("unauthorized", { kind: refused.constructor.name, status: refused.status });
const broken = await scenes.failure(async () => {
  for await (const _ of await client.chat.completions.create({ model: scenes.CUT, messages: asked, stream: true }));
});
tell("broken", { kind: broken.constructor.name });

const told = await client.responses.create({ model: SMOLLM2, input: scenes.QUESTION, max_output_tokens: 32, temperature: 0 });
const spoken = client.responses.stream({ model: SMOLLM2, input: scenes.QUESTION, max_output_tokens: 32, temperature: 0 });
const deltas = [];
spoken.on("response.output_text.delta", (event) => deltas.push(event.delta));
const response = await spoken.finalResponse();
tell("responses", {
  text: told.output_text,
  pieces: deltas.length,
  streamed: deltas.join(""),
  whole: response.output_text,
  output_tokens: response.usage.output_tokens,
});

const running = await client.chat.completions.create({ model: scenes.LOREM, messages: asked, stream: true });
let number = 0;
for await (const chunk of running) {
  if (++number === scenes.PIECES_BEFORE_LEAVING) {
    tell("cancel", { id: chunk.id });
    running.controller.abort();
    break;
  }
}

const found = await client.embeddings.create({ model: scenes.E5, input: ["a cat", "a kitten"] });
tell("embeddings", { sizes: found.data.map((each) => each.embedding.length), tokens: found.usage.prompt_tokens });

const ids = [];
for await (const model of client.models.list()) ids.push(model.id);
tell("models", { ids });
