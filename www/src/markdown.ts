/**
 * Model output as Markdown, and nothing else: no images, no raw HTML, no links that run anything. What a model writes
 * may be hostile, because what it read may be.
 */

import createPurifier from "dompurify";
import { Marked } from "marked";

const escape = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

const marked = new Marked({
  gfm: true,
  breaks: true,
  async: false,
  renderer: {
    // Shown as it was written.
    html: ({ text }) => escape(text),
    // Its text stands for it: an image's address would be asked for.
    image: ({ text }) => escape(text),
  },
});

const purifier = createPurifier(window);
const TAGS = [
  ...["a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre"],
  ...["strong", "table", "tbody", "td", "th", "thead", "tr", "ul"],
];

purifier.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName === "A") {
    node.setAttribute("rel", "noopener noreferrer nofollow");
    node.setAttribute("target", "_blank");
  }
  // The page's own headings are above.
  if (/^H[1-6]$/.test(node.nodeName)) {
    node.setAttribute("role", "heading");
    node.setAttribute("aria-level", "4");
  }
});

/** What is longer takes too long to render again at every token. */
const LONGEST_TEXT = 60_000;
/** Of characters without white space: some rules look at all that follows from every one on. */
const LONGEST_WORD = /\S{10001}/;
const LONGEST_HTML = 600_000;

/** Rendered; undefined where the text is too much for it, as are a thousand lists in each other. */
function fragmentOf(text: string): DocumentFragment | undefined {
  if (text.length > LONGEST_TEXT || LONGEST_WORD.test(text)) return undefined;
  try {
    const html = marked.parse(text) as string;
    if (html.length > LONGEST_HTML) return undefined;
    return purifier.sanitize(html, {
      ALLOWED_TAGS: TAGS,
      ALLOWED_ATTR: ["href", "start"],
      ADD_URI_SAFE_ATTR: ["start"],
      ALLOWED_URI_REGEXP: /^https?:\/\//i,
      ALLOW_DATA_ATTR: false,
      ALLOW_ARIA_ATTR: false,
      // Never parsed in the page's own document, where an image would already be fetched.
      RETURN_DOM_FRAGMENT: true,
    });
  } catch {
    return undefined;
  }
}

/** Puts `text` into `element`: rendered, or as it stands where that can't be. */
export function renderMarkdown(element: HTMLElement, text: string): void {
  const fragment = fragmentOf(text);
  element.toggleAttribute("data-plain", !fragment);
  element.replaceChildren(fragment ?? text);
}
