// What every client is put through, and how a program says what it saw: a JSON object a line.
import { z } from "zod";

export const ROOT_URL = process.env.TURNPIKE_ROOT_URL;
export const BASE_URL = `${ROOT_URL}/api/v1`;
export const KEY = process.env.TURNPIKE_API_KEY;
export const WRONG_KEY = "tp_live_wrong";

export const SMOLLM2 = "huggingfacetb/smollm2-135m-instruct";
export const E5 = "intfloat/multilingual-e5-small";
export const AGENT = "sim/agent";
export const LOREM = "sim/lorem";
export const CUT = "sim/cut";
export const NOBODY = "nobody/nothing";

export const QUESTION = "What is the capital of France? Answer in one sentence.";
export const WEATHER = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer", minimum: 2 } },
  required: ["city", "days"],
  additionalProperties: false,
};
export const Weather = z.object({ city: z.string(), days: z.number() });
export const WEATHER_TOOL = {
  type: "function",
  function: { name: "get_weather", description: "Weather of a city", parameters: WEATHER },
};
// Enough pieces to know that a stream runs, few enough that most of it is still to come.
export const PIECES_BEFORE_LEAVING = 5;

/** Says what was seen in a scene. */
export function tell(scene, facts) {
  console.log(JSON.stringify({ scene, ...facts }));
}

/** Gives the error that a call ends with. */
export async function failure(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return null;
}
