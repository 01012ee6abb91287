/** The models that the page offers: the small one, and the better one that the command line takes by default. */

import catalogue from "../../catalogue.json";

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

export const SMALL = known(small);
export const BETTER = known(better);
