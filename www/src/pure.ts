/** What needs no browser, for the tests under `tests/browser`. */

export { CommandError, commandFor } from "./command.ts";
export { roundsOf, spent, textsOf } from "./figures.ts";
export { imported } from "./imports.ts";
export { restoredProfiles, starters } from "./profiles.ts";
export { liftOf, referenceOf, textOf, toTrace } from "./run.ts";
export { asTurns, chatOf, summaryOf } from "./schema/chat.ts";
export { FileError } from "./schema/check.ts";
export { faultIn } from "./schema/json.ts";
export { asked, asOffers, restored } from "./schema/page.ts";
export { defaults, FIELDS } from "./settings.ts";
