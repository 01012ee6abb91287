/** What lies at a model's address: one file, the files of a split model, or a hub folder. */

export type Address =
  | { kind: "one"; url: string }
  /** Of a model that is split into several GGUF files, in order. */
  | { kind: "split"; urls: string[] }
  /** `base` ends in a slash, and the files' names follow it. */
  | { kind: "folder"; base: string; name: string };

const HUB = "huggingface.co";

/** As ggml's `gguf-split` names them: NAME-00001-of-00003.gguf. The engine's rule, here too for what asks before it is there. */
const PART = /-(\d{5})-of-(\d{5})(\.gguf)$/i;

/**
 * A hub repository's page (`/OWNER/NAME`, `/OWNER/NAME/tree/REV`), any address that ends in a slash, and that of a
 * `config.json` are folders; everything else is a file.
 */
export function addressOf(text: string): Address {
  const url = new URL(text);
  url.hash = "";
  if (url.hostname === HUB) {
    const [owner, name, kind, ...rest] = url.pathname.split("/").filter(Boolean);
    // A file's page; its bytes lie elsewhere.
    if (kind === "blob") url.pathname = `/${owner}/${name}/resolve/${rest.join("/")}`;
    if (name !== undefined && (kind === undefined || kind === "tree")) {
      const [revision = "main", ...folders] = rest;
      const path = [owner, name, "resolve", revision, ...folders].join("/");
      return { kind: "folder", base: `${url.origin}/${path}/`, name: decoded(folders.at(-1) ?? name) };
    }
  }
  const [, folder, file] = /^(.*\/)([^/]*)$/.exec(url.pathname) ?? [];
  if (folder !== undefined && (file === "" || file === "config.json")) {
    const parts = folder.split("/").filter(Boolean);
    // The folder of a revision is called after its repository.
    const name = parts.at(-2) === "resolve" ? parts.at(-3) : parts.at(-1);
    return { kind: "folder", base: new URL(folder, url).href, name: decoded(name ?? url.hostname) };
  }
  const [ending, , count] = PART.exec(url.pathname) ?? [];
  const parts = Number(count);
  if (ending === undefined || parts < 2) return { kind: "one", url: url.href };
  const urls = Array.from({ length: parts }, (_, no) => {
    const part = new URL(url);
    part.pathname = url.pathname.replace(PART, `-${String(no + 1).padStart(5, "0")}-of-${count}$3`);
    return part.href;
  });
  return { kind: "split", urls };
}

/** What the model at an address is called. */
export function nameAt(url: string): string {
  if (!URL.canParse(url)) return url;
  const address = addressOf(url);
  return (address.kind === "folder" ? address.name : nameIn(url)) || url;
}

/** A part of an address in words; as it stands where it is no UTF-8, as `%E0%A4%A`. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** A file's name in its address. */
export function nameIn(url: string): string {
  return decoded(new URL(url).pathname.split("/").at(-1) ?? "");
}
