/** Sets formulas as MathML, which browsers draw without fonts and styles of their own: fetched where an answer has some. */

import katex from "katex";

/** TeX as MathML; what is no TeX comes back as it was written, marked as such. */
export function set(text: string, displayMode: boolean): string {
  // So that nothing is fetched or defined, and nothing grows without end.
  const html = katex.renderToString(text, { displayMode, output: "mathml", throwOnError: false, trust: false, maxExpand: 200, maxSize: 20 });
  // What it was written as stands inside it for screen readers of another time.
  return html.replace(/<annotation[^]*?<\/annotation>/g, "");
}
