// Vercel's `ai` with OpenRouter's provider for it.
import { createOpenRouter } from "@openrouter/ai-sdk-provider";
import { Output, generateText, stepCountIs, streamText, tool } from "ai";
import * as scenes from "./scenes.mjs";

const { tell, QUESTION } = scenes;
const openrouter = createOpenRouter({ apiKey: scenes.KEY, baseURL: scenes.BASE_URL });
const small = { model: openrouter(scenes.SMOLLM2), prompt: QUESTION, maxOutputTokens: 32, temperature: 0, maxRetries: 0 };

const answer = await generateText(small);
tell("whole", { text: answer.text, output_tokens: answer.usage.outputTokens, id: answer.response.id });

const streamed = streamText(small);
const pieces = [];
for await (const piece of streamed.textStream) pieces.push(piece);
tell("stream", {
  pieces: pieces.length,
  text: pieces.join(""),
  whole: await streamed.text,
  output_tokens: (await streamed.usage).outputTokens,
});

const agent = openrouter(scenes.AGENT);
const calls = [];
const getWeather = tool({
  description: "Weather of a city",
  inputSchema: scenes.Weather,
  execute: async (given) => {
    calls.push(given);
    return "sunny";
  },
});
const done = streamText({ model: agent, prompt: "Weather?", tools: { get_weather: getWeather }, stopWhen: stepCountIs(3), maxRetries: 0 });
const text = await done.text;
const steps = await done.steps;
tell("tools", { name: steps[0].toolCalls[0].toolName, arguments: calls[0], reason: steps[0].finishReason, text });

const formed = await generateText({ model: agent, prompt: QUESTION, output: Output.object({ schema: scenes.Weather }), maxRetries: 0 });
tell("structured", { value: formed.output });

const error = await scenes.failure(() => generateText({ model: openrouter(scenes.NOBODY), prompt: QUESTION, maxRetries: 0 }));
tell("error", { kind: error.name, status: error.statusCode });
const stranger = createOpenRouter({ apiKey: scenes.WRONG_KEY, baseURL: scenes.BASE_URL });
const refused = await scenes.failure(() =>
  generateText({ model: stranger(scenes.SMOLLM2), prompt: QUESTION, maxRetries: 0 }),
);
tell("unauthorized", { kind: refused.name, status: refused.statusCode });
const errors = [];
const broken = streamText({ model: openrouter(scenes.CUT), prompt: QUESTION, maxRetries: 0, onError: (event) => errors.push(event.error) });
for await (const _ of broken.textStream);
tell("broken", { kind: errors.length ? "onError" : null });

const leaving = new AbortController();
const running = streamText({ model: openrouter(scenes.LOREM), prompt: QUESTION, abortSignal: leaving.signal, onAbort: () => {} });
let number = 0;
let id = null;
for await (const part of running.fullStream) {
  if (part.type === "text-delta" && ++number === scenes.PIECES_BEFORE_LEAVING) {
    leaving.abort();
    break;
  }
}
tell("cancel", { id });
