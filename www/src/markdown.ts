/**
 * Model output as Markdown, and nothing else: no images, no raw HTML, no links that run anything. What a model writes
 * may be hostile, because what it read may be. What colours code and sets formulas is fetched where there are some.
 */

import { signal } from "@preact/signals";
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
    code: ({ text, lang }) => `<pre><code>${coloured.value?.(text, lang) ?? escape(text)}</code></pre>\n`,
  },
  extensions: [
    {
      name: "formula",
      level: "inline",
      start: (source) => FORMULA_BEGINS.exec(source)?.index,
      tokenizer(source) {
        const [raw, ...texts] = FORMULA.exec(source) ?? [];
        const text = texts.find((text) => text !== undefined)?.trim();
        return raw && text ? { type: "formula", raw, text, isBlock: /^(\$\$|\\\[)/.test(raw) } : undefined;
      },
      renderer: ({ raw, text, isBlock }) => formula.value?.(text as string, isBlock === true) ?? escape(raw),
    },
  ],
});

const FORMULA_BEGINS = /\$|\\[([]/;
/** `$$ x $$`, `\[ x \]`, `\( x \)`, and `$x$` where that is no price. */
const FORMULA = /^(?:\$\$([^$]{1,2000}?)\$\$|\\\[([^]{1,2000}?)\\\]|\\\(([^]{1,2000}?)\\\)|\$([^\s$](?:[^$\n]{0,500}?[^\s$])?)\$(?!\d))/;
const FENCE = /^ {0,3}(```|~~~)/m;

/** A text as HTML with classes, or in MathML; undefined while what does it is not here. */
const coloured = signal<((text: string, language: string | undefined) => string) | undefined>(undefined);
const formula = signal<((text: string, isBlock: boolean) => string) | undefined>(undefined);

let asksForColours = false;
let asksForFormulas = false;

/** Fetches what a text needs; where that can't be had, it stands as it was written. */
function equip(text: string): void {
  if (!asksForColours && FENCE.test(text)) {
    asksForColours = true;
    void import("./code.ts").then(({ colour }) => (coloured.value = colour)).catch(() => undefined);
  }
  if (!asksForFormulas && FORMULA_BEGINS.test(text)) {
    asksForFormulas = true;
    void import("./formula.ts").then(({ set }) => (formula.value = set)).catch(() => undefined);
  }
}

const purifier = createPurifier(window);
const TAGS = [
  ...["a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre"],
  ...["span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"],
  ...["math", "semantics", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "msup", "msub", "msubsup", "mfrac", "msqrt", "mroot"],
  ...["mover", "munder", "munderover", "mtable", "mtr", "mtd", "mpadded", "mphantom", "menclose", "mstyle"],
];

purifier.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName === "A") {
    node.setAttribute("rel", "noopener noreferrer nofollow");
    node.setAttribute("target", "_blank");
  }
  // Classes are for code alone.
  if (node.hasAttribute("class") && !/^hljs-[\w-]+( [\w-]+)*$/.test(node.getAttribute("class") ?? "")) node.removeAttribute("class");
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
      ALLOWED_ATTR: ["class", "href", "start", "display", "mathvariant", "stretchy", "fence", "separator", "accent", "linethickness"],
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
  equip(text);
  const fragment = fragmentOf(text);
  element.toggleAttribute("data-plain", !fragment);
  element.replaceChildren(fragment ?? text);
}
