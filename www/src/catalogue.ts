/** The models that the page offers: the small one, and the better one that the command line takes by default. */

import catalogue from "../../native/catalogue.json";

export interface Known {
  /** As in `periapt models list`. */
  name: string;
  /** What its makers call it. */
  title: string;
  license: string;
  bytes: number;
  /** How many times longer than the small model it takes for a word: its weights are read for each. */
  slower: number;
  /** Its file on the hub. */
  url: string;
  /** Of that file, where it is known beforehand. */
  sha256: string | undefined;
}

const { default: better, small, models } = catalogue;

function known(name: string): Known {
  const [model, least] = [name, small].map((wanted) => models.find((model) => model.name === wanted));
  const hub = model?.sources.map((source) => source.hub).find((hub) => hub !== undefined);
  if (!model || !least || !hub) throw new Error(`catalogue.json: ${name} has no file on the hub`);
  return {
    name,
    title: model.title,
    license: model.license,
    bytes: model.bytes,
    slower: Math.round(model.bytes / least.bytes),
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

export const SMALL = known(small);
export const BETTER = known(better);
