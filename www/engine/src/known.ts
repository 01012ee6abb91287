/**
 * Known answers: what a right device computes on a known model, from an independent float32 implementation
 * (`tests/fixtures/golden`, whose closest race between two tokens in this answer is 0.08). A GPU that loads any other model is held
 * against those of a tiny one that has all block types (`tests/fixtures/models/quants.gguf`).
 */

import type { Engine, Model } from "../wasm/periapt_web.js";
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
  for (const [id, wanted] of known.top) holds(id, logits.get(id), wanted);
  const params = { messages, max_new_tokens: known.token_ids.length };
  const { answers } = (await loaded.generate(params, () => true)) as Calls["generate"]["result"];
  const ids = answers[0]?.token_ids.join(" ");
  if (ids !== known.token_ids.join(" ")) throw wrong(`its answer is ${ids} instead of ${known.token_ids.join(" ")}`);
  return true;
}

/** Logits after token ids: one row, a few, and more than a page of the cache. */
const OF_THE_TINY_MODEL: { ids: string; top: KnownAnswer["top"] }[] = [
  {
    ids: "272",
    top: [
      [16, 4.3811],
      [123, 4.2166],
      [232, 4.2009],
      [100, 4.1383],
      [185, 3.9089],
    ],
  },
  {
    ids: "272 181 197 258 167 224 240 67 18 88 84 251 263 4 145 237 40 230 36 136 235 89 100 82",
    top: [
      [160, 0.2646],
      [217, 0.1869],
      [25, 0.1165],
      [10, -0.0846],
      [265, -0.1137],
    ],
  },
  {
    ids: "208 75 285 129 139 146 169 160 148 286 233 228 202 180 100 284 135 64 243 48 247 177 35 15 129 13 43 149 279 135 233 264 237 182 128 149 78 144 111 73 286 6 30 57 279 200 254 60 208 108 142 4 178 239 192 47 155 79 277 253 56 148 270 244 204 185 15 214 137 29 72 157 210 147 177 251 198 105 186 173 33 19 191 113 173 95 67 45 111 235 117 111 166 281 114 171 128 175 130 184 158 195 275 45 163 128 105 71 17 117 238 30 118 278 274 64 5 194 7 88 144 252 29 191 154 40 244 243 140 272 175 260 276 165 83 44 163 57 216 267 72 160 17 54 110 254 279 185 169 165",
    top: [
      [185, -0.1574],
      [226, -0.3453],
      [253, -0.3997],
      [197, -0.4136],
      [264, -0.4544],
    ],
  },
];

/** Holds a device against the tiny model, which lies at `url`; where that can't be had, nothing is found. */
export async function testDevice(
  engine: Engine,
  url: string,
  tell: (event: LoadEvent) => void,
  ready: (loaded: Model) => Promise<void>,
): Promise<void> {
  const file = await fetch(url).catch(() => undefined);
  if (!file?.ok) return;
  tell({ kind: "testing" });
  const bytes = new Uint8Array(await file.arrayBuffer());
  const loader = engine.loader(bytes.length);
  loader.push(bytes);
  const tiny = loader.finish();
  try {
    await ready(tiny);
    for (const { ids, top } of OF_THE_TINY_MODEL) {
      const logits = await tiny.next_logits(Uint32Array.from(ids.split(" "), Number));
      for (const [id, wanted] of top) holds(id, logits[id], wanted);
    }
  } finally {
    tiny.free();
  }
}

function holds(id: number, got: number | undefined, wanted: number): void {
  if (got !== undefined && Math.abs(got - wanted) < LOGIT_TOLERANCE) return;
  throw wrong(`token ${id} scores ${got ?? "less than four others"} instead of ${wanted}`);
}

function wrong(what: string): CallError {
  return new CallError("wrong_device", `This device computes wrongly: on a known question ${what}.`);
}
