/** The heat map on formatted text: which tokens the words of a rendered answer came from. */

/** How far ahead in the source a character is looked for: what lies between is markup. */
const AHEAD = 200;

/**
 * For each character of what was rendered, its place in the source; -1 where it is not from there. What is rendered is what was written
 * without the markup, in the same order.
 */
export function placesOf(rendered: string, source: string): number[] {
  let at = 0;
  return Array.from({ length: rendered.length }, (_, index) => {
    const found = source.indexOf(rendered[index] ?? "", at);
    if (found < 0 || found - at > AHEAD) return -1;
    at = found + 1;
    return found;
  });
}

/** Cuts the text below `root` where another token begins, each part in the element that `mark` makes for that token. */
export function markTokens(root: Node, texts: readonly string[], mark: (token: number) => HTMLElement): void {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT, (node) =>
    node.parentElement?.closest("math") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT,
  );
  const nodes: Text[] = [];
  while (walker.nextNode()) nodes.push(walker.currentNode as Text);
  const places = placesOf(nodes.map(({ data }) => data).join(""), texts.join(""));
  const tokens = texts.flatMap((text, token) => Array.from({ length: text.length }, () => token));
  let from = 0;
  for (const node of nodes) {
    const { data } = node;
    const parts = document.createDocumentFragment();
    let token: number | undefined;
    let begun = 0;
    const cut = (end: number) => {
      const text = data.slice(begun, end);
      begun = end;
      if (!text) return;
      if (token === undefined) parts.append(text);
      else {
        const marked = mark(token);
        marked.append(text);
        parts.append(marked);
      }
    };
    for (let index = 0; index < data.length; index++) {
      const place = places[from + index] ?? -1;
      // What is from nowhere belongs to what stands before it.
      const next = place < 0 ? token : tokens[place];
      if (next === token) continue;
      cut(index);
      token = next;
    }
    cut(data.length);
    from += data.length;
    node.replaceWith(parts);
  }
}
