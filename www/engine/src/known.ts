/**
 * Known answers: what a right device computes on a known model, from an independent float32 implementation
 * (`tests/fixtures/golden`, whose closest race between two tokens in this answer is 0.08).
 */

import type { Model } from "../wasm/periapt_web.js";
import { CallError } from "./error.ts";
import type { Calls, LoadEvent } from "./protocol.ts";

interface KnownAnswer {
  question: string;
  token_ids: number[];
  /** id, logit of the first token's best five. */
  top: [id: number, logit: number][];
}

/** Keys and values in f16 cost up to 0.02. */
const LOGIT_TOLERANCE = 0.05;

/** By the file's sha256. */
const KNOWN_ANSWERS: Record<string, KnownAnswer> = {
  // SmolLM2-135M-Instruct, Q4_1
  b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53: {
    question: "Explain what a vector database is.",
    token_ids: [49, 8431, 5817, 314, 253, 1502, 282, 5817, 338, 2925, 14799, 288, 4249, 284, 4511, 940],
    top: [
      [49, 34.7491],
      [788, 32.9091],
      [504, 30.9327],
      [4792, 30.0082],
      [70, 29.3901],
    ],
  },
};

/** Holds the device against the known answers of this file, where there are some. */
export async function test(loaded: Model, sha256: string, tell: (event: LoadEvent) => void): Promise<boolean> {
  const known = KNOWN_ANSWERS[sha256];
  if (!known) return false;
  tell({ kind: "testing" });
  const messages = [{ role: "user", content: known.question }];
  const { top } = (await loaded.top_logits({ messages }, known.top.length)) as Calls["top_logits"]["result"];
  const logits = new Map(top.map(([id, logit]) => [id, logit]));
  for (const [id, wanted] of known.top) {
    const got = logits.get(id);
    if (got === undefined || !(Math.abs(got - wanted) < LOGIT_TOLERANCE)) {
      throw wrong(`token ${id} scores ${got ?? "less than four others"} instead of ${wanted}`);
    }
  }
  const params = { messages, max_new_tokens: known.token_ids.length };
  const { answers } = (await loaded.generate(params, () => true)) as Calls["generate"]["result"];
  const ids = answers[0]?.token_ids.join(" ");
  if (ids !== known.token_ids.join(" ")) throw wrong(`its answer is ${ids} instead of ${known.token_ids.join(" ")}`);
  return true;
}

function wrong(what: string): CallError {
  return new CallError("wrong_device", `This device computes wrongly: on a known question ${what}.`);
}
