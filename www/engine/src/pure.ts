/** What needs neither browser nor WASM, for the tests under `tests/browser`. */

export { addressOf, nameAt, nameIn } from "./address.ts";
export { parseJournal, parseSet } from "./journal.ts";
export { chunkOf, completionOf, endOf, usageOf } from "./openai.ts";
export { RequestError, toEngine } from "./request.ts";
export { SPARE, toEvict } from "./room.ts";
