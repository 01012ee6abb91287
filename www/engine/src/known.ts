/**
 * Known answers: what a right device computes on a known model, from an independent float32 implementation
 * (`tests/fixtures/golden`, whose closest race between two tokens in this answer is 0.08).
 */

export interface KnownAnswer {
  question: string;
  token_ids: number[];
  /** id, logit of the first token's best five. */
  top: [id: number, logit: number][];
}

/** Keys and values in f16 cost up to 0.02. */
export const LOGIT_TOLERANCE = 0.05;

/** By the file's sha256. */
export const KNOWN_ANSWERS: Record<string, KnownAnswer> = {
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
