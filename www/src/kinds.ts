/** What a file is that the page does not take, told by how it begins. */

export type Kind = "gguf" | "ggml" | "pdf" | "zip" | "gzip" | "image" | "page" | "program" | "empty";

const text = (words: string) => [...words].map((letter) => letter.charCodeAt(0));

const BEGINNINGS: [Kind, number[]][] = [
  ["gguf", text("GGUF")],
  // What llama.cpp read before GGUF.
  ...["lmgg", "tjgg", "fmgg", "algg"].map((words): [Kind, number[]] => ["ggml", text(words)]),
  ["pdf", text("%PDF")],
  ["zip", [...text("PK"), 3, 4]],
  ["gzip", [0x1f, 0x8b]],
  ["image", [0x89, ...text("PNG")]],
  ["image", [0xff, 0xd8, 0xff]],
  ["image", text("GIF8")],
  ["program", [0x7f, ...text("ELF")]],
  ["program", [...text("MZ")]],
];

/** The kind of what begins so; undefined where that says nothing. */
export function kindOf(bytes: Uint8Array): Kind | undefined {
  if (bytes.length === 0) return "empty";
  const known = BEGINNINGS.find(([, beginning]) => beginning.every((byte, at) => bytes[at] === byte))?.[0];
  if (known) return known;
  const words = new TextDecoder("latin1").decode(bytes).trimStart().toLowerCase();
  return /^<(!doctype html|html|\?xml|head|body)/.test(words) ? "page" : undefined;
}

export async function kindOfFile(file: Blob): Promise<Kind | undefined> {
  return kindOf(new Uint8Array(await file.slice(0, 512).arrayBuffer()));
}
