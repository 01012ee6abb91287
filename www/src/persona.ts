/** What this device knows of the person's preferences, learnt from which of two answers they take: numbers, and no text. */

import type { Known, KnownLean, Persona, PersonaChange, Taken } from "@periapt/engine";
import { effect, signal, untracked } from "@preact/signals";
import { nameOfFile } from "./catalogue.ts";
import { strengthOf } from "./settings.ts";
import { engine, faultOf, model, notice, ownWords, profiles, settings } from "./state.ts";
import { recall, remember, save } from "./storage.ts";
import { strings } from "./strings.ts";

let persona = (recall("persona") ?? null) as Persona | null;

/** What is known; undefined until the engine is there. */
export const known = signal<Known | undefined>(undefined);
/** Whether answers lean by it. */
export const isOn = signal(recall("persona-on") === true);
/** Whether they are written to learn from, which is what a draw of who the person may be is for. */
export const learns = signal(recall("persona-learns") !== false);

effect(() => {
  remember("persona-on", isOn.value);
  remember("persona-learns", learns.value);
});

/** The model's name in the catalogue, by which it was measured. */
const modelName = () => (model.value ? nameOfFile(model.value.file) : undefined) ?? null;

// One after the other: each goes on from what the one before left.
let last: Promise<unknown> = Promise.resolve();

function queued<T>(next: () => Promise<T>): Promise<T> {
  const done = last.then(next);
  last = done.catch(() => undefined);
  return done;
}

/** Tells what is known, after a change where there is one; `from` is another persona to go on from. */
async function told(change?: PersonaChange, from?: Persona | null): Promise<void> {
  const at = engine.value;
  if (!at) return;
  const params = { persona: from === undefined ? persona : from, model: modelName(), strength: strengthOf(settings.value) };
  const result = await at.persona({ ...params, ...(change && { change }) });
  const isNew = from === null;
  persona = isNew ? null : result.persona;
  known.value = result.known;
  if (change || from !== undefined) remember("persona", persona);
}

const fail = (error: unknown) => {
  notice.value = { text: faultOf(error).message, isFault: true };
};

// Once the engine is there, and for each model and strength.
effect(() => {
  void [engine.value, model.value, settings.value];
  untracked(() => {
    void queued(async () => {
      try {
        await told();
      } catch (error) {
        // What was kept is no persona, or one of another version: it is left as it is until somebody changes it.
        if (engine.value) fail(error);
      }
    });
  });
});

export function change(what: PersonaChange): void {
  void queued(() => told(what)).catch(fail);
}

export function forget(): void {
  if (!confirm(strings.you.sure)) return;
  void queued(() => told(undefined, null)).catch(fail);
}

export function exportPersona(): void {
  if (persona) save("periapt-persona.json", `${JSON.stringify(persona)}\n`);
}

export async function importPersona([file]: File[]): Promise<void> {
  if (!file) return;
  try {
    const read: unknown = JSON.parse(await file.text());
    await queued(() => told(undefined, read as Persona));
    notice.value = { text: strings.you.imported(known.value?.choices ?? 0), isFault: false };
  } catch (error) {
    notice.value = { text: strings.you.noPersona(file.name, faultOf(error).message), isFault: true };
  }
}

/** Has answers lean by what is known, or not; chosen wishes would come first, and go. */
export function turn(on: boolean): void {
  isOn.value = on;
  if (!on) return;
  profiles.value = { ...profiles.value, chosen: [] };
  ownWords.value = "";
}

/** How an answer without a wish leans now: nothing where it does not. */
export function leaning(): Record<string, number> | undefined {
  const leans: KnownLean[] = isOn.value ? ((learns.value ? known.value?.drawn : known.value?.leans) ?? []) : [];
  return leans.length > 0 ? Object.fromEntries(leans.map(({ axis, k }) => [axis, k])) : undefined;
}

/** Learns from one of two answers being taken. */
export function learn(first: string, second: string, taken: Taken): Promise<void> {
  return queued(() => told({ kind: "choice", first, second, taken }));
}
