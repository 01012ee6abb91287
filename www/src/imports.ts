/** What a file that was chosen or dropped holds, told by its content alone. */

import { fromJson, type Profile } from "./profiles.ts";
import { asChats, asTurns, type Chat, type Turns } from "./schema/chat.ts";
import { FileError } from "./schema/check.ts";
import { keyOf, faultIn, whole } from "./schema/json.ts";
import { fromRecord, type Recorded } from "./schema/record.ts";
import { fromTrace, type Run } from "./schema/run.ts";

export type Imported =
  | { kind: "profiles"; profiles: Profile[] }
  | { kind: "chat"; turns: Turns[] }
  | { kind: "chats"; chats: Chat[] }
  | { kind: "record"; record: Recorded }
  | { kind: "trace"; run: Run };

/** Throws a `FileError` that says what is wrong, and where. */
export function imported(text: string): Imported {
  const all = whole(text);
  const format = keyOf(all, "format");
  if (format === "periapt-preferences") return { kind: "profiles", profiles: fromJson(all) };
  if (format === "periapt-chats") return { kind: "chats", chats: asChats(all) };
  if (format === "periapt-chat") return { kind: "chat", turns: asTurns(all) };
  const first = text.trimStart().split("\n", 1)[0] ?? "";
  const header = whole(first);
  // An exported file that is cut or damaged is no JSON as a whole, and its first line none either or all of it.
  if (all === undefined && (header === undefined || first === text.trim())) throw new FileError(`it is no JSON: ${faultIn(text)}`);
  // A refinement's header has options, as a trace's has not.
  if (keyOf(header, "options") !== undefined) return { kind: "record", record: fromRecord(text) };
  if (keyOf(header, "type") === "header") return { kind: "trace", run: fromTrace(text) };
  throw new FileError("it is JSON, and neither begins with a header nor has the format periapt-chat, periapt-chats or periapt-preferences");
}
