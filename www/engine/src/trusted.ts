/** Trusted Types (https://www.w3.org/TR/trusted-types/), as far as the engine needs them; the page's types leave them out. */

interface Policy {
  createScriptURL: (url: string) => string;
}

interface Factory {
  createPolicy: (name: string, rules: Policy) => Policy;
}

/** For a page under `require-trusted-types-for 'script'`: makes addresses of its own site's scripts, and no others. */
export function scriptUrls(name: string): (url: URL) => string {
  const own = (text: string) => {
    const { origin, href } = new URL(text, location.href);
    if (origin !== location.origin) throw new TypeError(`${href} is no script of this site`);
    return href;
  };
  const { trustedTypes } = globalThis as { trustedTypes?: Factory };
  const policy = trustedTypes?.createPolicy(name, { createScriptURL: own });
  return (url) => policy?.createScriptURL(url.href) ?? url.href;
}
