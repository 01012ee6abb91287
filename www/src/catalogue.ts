/** The models that the page offers: the small one, the better one that the command line takes by default, and the best of them. */

import catalogue from "../../native/catalogue.json";

export interface Known {
  /** As in `periapt models list`. */
  name: string;
  /** What its makers call it. */
  title: string;
  /** Its parameters, as people name them. */
  parameters: string;
  license: string;
  bytes: number;
  /** Its file on the hub. */
  url: string;
  /** Of that file, where it is known beforehand. */
  sha256: string | undefined;
}

const { default: better, small, models } = catalogue;

function known(name: string): Known {
  const model = models.find((model) => model.name === name);
  const hub = model?.sources.map((source) => source.hub).find((hub) => hub !== undefined);
  if (!model || !hub) throw new Error(`catalogue.json: ${name} has no file on the hub`);
  return {
    name,
    title: model.title,
    parameters: (name.split(":")[1] ?? "").toUpperCase(),
    license: model.license,
    bytes: model.bytes,
    url: `https://huggingface.co/${hub.repo}/resolve/main/${model.file}`,
    sha256: "exact" in hub && hub.exact ? model.sha256 : undefined,
  };
}

/** How a model is best leaned where a preference is given, as benches/evidence measured it. */
export interface Recommended {
  method: "la" | "amulet";
  strength: number;
  plausibility: number;
}

const measured = models as { file: string; recommended?: Recommended }[];

/** All that was measured. */
export const RECOMMENDED = measured.flatMap(({ recommended }) => recommended ?? []);

/** What was measured for the model of that file. */
export function recommendedFor(file: string): Recommended | undefined {
  return measured.find((model) => model.file === file)?.recommended;
}

/** The catalogue's name of the model of that file. */
export function nameOfFile(file: string): string | undefined {
  return models.find((model) => model.file === file)?.name;
}

export const SMALL = known(small);
export const BETTER = known(better);
export const BEST = known("qwen2.5-coder:1.5b");
/** From the smallest to the largest. */
export const KNOWN = [SMALL, BETTER, BEST];

/** Fewer tokens a second than that are no pleasure to wait for. */
const PLEASANT = 4;

/** The one to begin with: the better one, or the small one where that is slow here. */
export function recommendedOf(bytesPerSecond: number | undefined): Known {
  return bytesPerSecond !== undefined && bytesPerSecond / BETTER.bytes < PLEASANT ? SMALL : BETTER;
}
