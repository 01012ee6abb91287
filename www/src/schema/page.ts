/** What the page's own server and an earlier visit say. */

import { DECODING, METHODS, PROMPT_SETS } from "@periapt/engine/contract";
import * as v from "valibot";
import { check, fitting, flag, list, name, number, object, oneOf, text, whole } from "./check.ts";
import { defaults, FIELDS, type FieldName, type Settings } from "../settings.ts";

const field = ({ min, max, whole: isWhole }: (typeof FIELDS)[FieldName]) =>
  isWhole ? whole(min, max) : number(min, max);

const OTHERS = {
  method: oneOf(...METHODS.filter((method) => method !== "base")),
  kl_budget: v.nullable(number(0, Number.MAX_VALUE)),
  adaptive: v.nullable(oneOf(...DECODING.adaptive.words)),
  prompt_set: oneOf(...PROMPT_SETS),
  system: text(),
  side_by_side: flag(),
  traced: flag(),
};

/** Settings from an earlier visit: each that is as it must be, the usual ones in the others' places. */
export function restored(value: unknown): Settings {
  const fields = Object.fromEntries(Object.entries(FIELDS).map(([name, of]) => [name, field(of)]));
  const schemas: Record<string, v.GenericSchema> = { ...fields, ...OTHERS };
  const saved = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const usual: Record<string, unknown> = { ...defaults() };
  for (const [name, schema] of Object.entries(schemas)) {
    if (Object.hasOwn(saved, name) && v.is(schema, saved[name])) usual[name] = saved[name];
  }
  return usual as unknown as Settings;
}

const OFFER = object({ name: name(), bytes: whole(0, Number.MAX_SAFE_INTEGER), sha256: v.nullable(name()), model: v.optional(name()) });
const OFFERS = object({ models: list(OFFER, 10_000) });

/** `models.json` of the server that gives the page. Throws a `FileError` where it is none. */
export function asOffers(value: unknown): v.InferOutput<typeof OFFER>[] {
  return check(OFFERS, value).models;
}

const DEVICE = oneOf("cpu", "gpu");

/** What the page's address asks for: `?device=` insists on one, `?model=` names a file of this site. */
export function asked(address: string): { device: "auto" | "cpu" | "gpu"; model: URL | "foreign" | undefined } {
  const at = new URL(address);
  const [device, linked] = [at.searchParams.get("device"), at.searchParams.get("model")];
  return { device: fitting(DEVICE, device) ?? "auto", model: linked === null ? undefined : own(linked, at) };
}

/** An address of this site, so that a link can't make the page download from another. */
function own(linked: string, at: URL): URL | "foreign" {
  const url = URL.canParse(linked, at.href) ? new URL(linked, at.href) : undefined;
  const isOwn = url !== undefined && /^https?:$/.test(url.protocol) && url.origin === at.origin && !url.username && !url.password;
  return isOwn ? url : "foreign";
}
